//! How this host asks for names: what `/etc/resolv.conf` says (resolv.conf(5)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::Duration;

/// The port of name servers.
const PORT: u16 = 53;

/// The most servers that count.
const MAX_SERVERS: usize = 3;

/// The settings that matter to a question for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConf {
    /// The servers, in the order in which they are asked; at least one.
    pub servers: Vec<SocketAddr>,
    /// What names that are not absolute may be continued with.
    search: Vec<String>,
    /// From how many dots on a name is first asked for as it is.
    ndots: usize,
    /// How long a server may take.
    pub timeout: Duration,
    /// How often each server is asked; at least once.
    pub attempts: u32,
}

impl Default for ResolvConf {
    fn default() -> ResolvConf {
        ResolvConf {
            servers: vec![(Ipv4Addr::LOCALHOST, PORT).into()],
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        }
    }
}

impl ResolvConf {
    /// The settings in a file. Without one there is a server on this host, as everywhere.
    pub fn read(path: &Path) -> ResolvConf {
        let bytes = std::fs::read(path).unwrap_or_default();
        ResolvConf::parse(&String::from_utf8_lossy(&bytes))
    }

    /// The settings in a file's text. What is not understood is skipped, as in every other resolver. Numbers have the
    /// limits of resolv.conf(5).
    fn parse(text: &str) -> ResolvConf {
        let mut conf = ResolvConf::default();
        let mut servers = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => servers.extend(words.next().and_then(server)),
                Some("domain") => conf.search = words.take(1).map(str::to_owned).collect(),
                Some("search") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| conf.set(option)),
                _ => {}
            }
        }
        servers.truncate(MAX_SERVERS);
        if !servers.is_empty() {
            conf.servers = servers;
        }
        conf
    }

    fn set(&mut self, option: &str) {
        let Some((name, Ok(number))) = option.split_once(':').map(|(name, number)| (name, number.parse::<u32>()))
        else {
            return;
        };
        match name {
            "ndots" => self.ndots = number.min(15) as usize,
            "timeout" => self.timeout = Duration::from_secs(number.clamp(1, 30).into()),
            "attempts" => self.attempts = number.clamp(1, 5),
            _ => {}
        }
    }

    /// The absolute names, each with its last dot, that a name may mean, in the order in which they are asked for.
    pub fn names(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let suffixes = self.search.iter().map(|suffix| suffix.trim_matches('.')).filter(|suffix| !suffix.is_empty());
        let mut names: Vec<String> = suffixes.map(|suffix| format!("{name}.{suffix}.")).collect();
        let first = name.matches('.').count() >= self.ndots;
        names.insert(if first { 0 } else { names.len() }, format!("{name}."));
        names
    }
}

/// The address of a server; that of a link has an interface behind it, by name or number.
fn server(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, PORT).into());
    }
    let (address, interface) = text.split_once('%')?;
    let address = address.parse::<Ipv6Addr>().ok()?;
    let number = interface.parse().ok().or_else(|| {
        let file = Path::new("/sys/class/net").join(interface).join("ifindex");
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    })?;
    Some(SocketAddrV6::new(address, PORT, 0, number).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Vec<String> {
        ResolvConf::parse(text).servers.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn servers_are_addresses_of_either_family() {
        assert_eq!(servers("nameserver 10.0.0.2\nnameserver fd00::2\n"), ["10.0.0.2:53", "[fd00::2]:53"]);
        assert_eq!(servers("nameserver\t10.0.0.2 # the first\n"), ["10.0.0.2:53"]);
        assert_eq!(servers("nameserver fe80::1%7"), ["[fe80::1%7]:53"]);
        assert_eq!(servers("nameserver fe80::1%lo"), ["[fe80::1%1]:53"]);
        let four = "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n";
        assert_eq!(servers(four), ["10.0.0.1:53", "10.0.0.2:53", "10.0.0.3:53"]);
    }

    #[test]
    fn without_a_server_it_is_this_host() {
        for text in [
            "",
            "# nameserver 10.0.0.2",
            ";nameserver 10.0.0.2",
            "nameserver",
            "nameserver ns.example.org",
            "nameserver fe80::1%no-such-interface",
            "nameserver fe80::1%../../etc",
            "Nameserver 10.0.0.2",
        ] {
            assert_eq!(servers(text), ["127.0.0.1:53"], "{text:?}");
        }
        assert_eq!(ResolvConf::read(Path::new("/nowhere/resolv.conf")), ResolvConf::default());
    }

    #[test]
    fn options_are_numbers_within_limits() {
        let read = |options: &str| {
            let conf = ResolvConf::parse(&format!("options {options}"));
            (conf.timeout.as_secs(), conf.attempts, conf.ndots)
        };
        assert_eq!(read("rotate"), (5, 2, 1));
        assert_eq!(read("timeout:1 attempts:4 ndots:5"), (1, 4, 5));
        assert_eq!(read("timeout:0 attempts:0 ndots:0"), (1, 1, 0));
        assert_eq!(read("timeout:99999 attempts:99999 ndots:99999"), (30, 5, 15));
        assert_eq!(read("timeout: attempts:x ndots:-1 timeout:99999999999"), (5, 2, 1));
        assert_eq!(ResolvConf::parse("options timeout:3\noptions attempts:1").timeout.as_secs(), 3);
    }

    #[test]
    fn a_relative_name_may_mean_several() {
        let names = |text: &str, name: &str| ResolvConf::parse(text).names(name);
        let search = "search a.example b.example.";
        assert_eq!(names(search, "x.y"), ["x.y.", "x.y.a.example.", "x.y.b.example."]);
        assert_eq!(names(search, "x"), ["x.a.example.", "x.b.example.", "x."]);
        assert_eq!(names("search a.example\noptions ndots:2", "x.y"), ["x.y.a.example.", "x.y."]);
        assert_eq!(names(search, "x.y."), ["x.y."]);
        assert_eq!(names("", "x"), ["x."]);
        assert_eq!(names("search .", "x.y"), ["x.y."]);
        assert_eq!(names("domain a.example\nsearch b.example", "x"), ["x.b.example.", "x."]);
        assert_eq!(names("search b.example\ndomain a.example c.example", "x"), ["x.a.example.", "x."]);
    }
}
