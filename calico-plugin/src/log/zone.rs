//! The host's time zone, in which log lines are dated.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tz::TimeZone;

/// A time zone; `None` is UTC.
#[derive(Debug)]
pub struct Zone(Option<TimeZone>);

impl Zone {
    /// The zone of this process, found as Go programs find it: the file that `TZ` names, UTC if it is empty, and
    /// `/etc/localtime` if it is not set. What cannot be read is UTC.
    pub fn of_process() -> Zone {
        Zone::named(std::env::var("TZ").ok().as_deref())
    }

    fn named(name: Option<&str>) -> Zone {
        Zone(match name {
            None => TimeZone::local().ok(),
            // Without the colon it could also be a rule instead of a file's name, which Go does not know.
            Some(name) => TimeZone::from_posix_tz(&format!(":{}", name.strip_prefix(':').unwrap_or(name))).ok(),
        })
    }

    /// The time, moved by the zone's distance from UTC at that time.
    pub fn shift(&self, time: SystemTime) -> SystemTime {
        let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        let local = self.0.as_ref().and_then(|zone| zone.find_local_time_type(seconds).ok());
        let offset = local.map_or(0, |local| local.ut_offset());
        let distance = Duration::from_secs(u64::from(offset.unsigned_abs()));
        let shifted = if offset < 0 { time.checked_sub(distance) } else { time.checked_add(distance) };
        shifted.unwrap_or(time)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    /// The smallest zone file of version 2 that follows a rule: no transitions, one type, and the rule.
    fn zone_file(rule: &str) -> Vec<u8> {
        let header = [b"TZif2".as_slice(), &[0; 15], &[0; 12], &[0; 4], &[0, 0, 0, 1], &[0, 0, 0, 4]].concat();
        let data = [&[0, 0, 0, 0, 0, 0], b"UTC\0".as_slice()].concat();
        [&header, &data, &header, &data, b"\n".as_slice(), rule.as_bytes(), b"\n"].concat()
    }

    #[test]
    fn the_zone_is_the_file_that_is_named_and_utc_without_one() {
        let folder = Scratch::new("zone");
        let file = folder.path("zone");
        let minutes = |name: &str, seconds: u64| {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            let shifted = Zone::named(Some(name)).shift(time);
            let east = shifted.duration_since(time).map(|distance| distance.as_secs() as i64);
            east.unwrap_or_else(|west| -(west.duration().as_secs() as i64)) / 60
        };
        let path = file.to_str().unwrap();
        let (winter, summer) = (1_767_323_045, 1_783_000_000);
        std::fs::write(&file, zone_file("CET-1CEST,M3.5.0,M10.5.0/3")).unwrap();
        assert_eq!((minutes(path, winter), minutes(path, summer)), (60, 120));
        assert_eq!(minutes(&format!(":{path}"), summer), 120);
        std::fs::write(&file, zone_file("<-0330>3:30")).unwrap();
        assert_eq!(minutes(path, summer), -210);
        std::fs::write(&file, "no zone file").unwrap();
        for utc in [path, "", ":", "UTC", "No/Such", "CET-1", "/", "../../etc/passwd"] {
            assert_eq!(minutes(utc, summer), 0, "{utc}");
        }
        // Whatever this machine's zone is.
        Zone::named(None).shift(UNIX_EPOCH);
    }
}
