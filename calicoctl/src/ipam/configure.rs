//! `ipam configure`: changes the settings of address management.

use calico_ipam::Error as IpamError;
use calico_model::IpamConfig;

use super::of_cluster;
use super::show::note_the_other_settings;
use crate::cli::ConfigureArgs;
use crate::console::Console;
use crate::error::Error;
use crate::session::Session;

/// The longest time, in seconds, that a released address may rest.
const LONGEST_COOLDOWN: u32 = 1200;

/// What is to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Changes {
    strict_affinity: Option<bool>,
    max_blocks_per_host: Option<u32>,
    persistence: Option<String>,
    cooldown: Option<u32>,
}

/// Changes the settings that are given, together, and leaves the others as they are.
pub async fn run(session: &Session, console: &Console, arguments: &ConfigureArgs) -> Result<(), Error> {
    let changes = Changes::read(arguments)?;
    let changed = of_cluster(session).change_settings(|settings| changes.make(settings)).await;
    changed.map_err(|error| match error {
        IpamError::Datastore(_) | IpamError::RetriesUsedUp { .. } => error.into(),
        refused => Error::from(refused).after("error: "),
    })?;
    console.data(&changes.done())?;
    note_the_other_settings(session, console).await
}

impl Changes {
    fn read(arguments: &ConfigureArgs) -> Result<Changes, Error> {
        let changes = Changes {
            strict_affinity: arguments.strictaffinity.as_deref().map(truth).transpose()?,
            max_blocks_per_host: arguments.max_blocks_per_host.as_deref().map(blocks).transpose()?,
            persistence: arguments.kubevirt_ip_persistence.as_deref().map(state).transpose()?,
            cooldown: arguments.ip_cooldown_seconds.as_deref().map(seconds).transpose()?,
        };
        match changes == Changes::default() {
            true => Err(Error::new("at least one configuration option must be specified")),
            false => Ok(changes),
        }
    }

    fn make(&self, settings: &mut IpamConfig) {
        if let Some(strict) = self.strict_affinity {
            settings.strict_affinity = strict;
        }
        if let Some(most) = self.max_blocks_per_host {
            settings.max_blocks_per_host = most;
        }
        if let Some(state) = &self.persistence {
            settings.kube_virt_vm_address_persistence = Some(state.clone());
        }
        if let Some(seconds) = self.cooldown {
            settings.ip_cooldown_seconds = seconds;
        }
    }

    /// A line for each setting that was given.
    fn done(&self) -> String {
        let settings = [
            ("StrictAffinity", self.strict_affinity.map(|strict| strict.to_string())),
            ("MaxBlocksPerHost", self.max_blocks_per_host.map(|most| most.to_string())),
            ("KubeVirtVMAddressPersistence", self.persistence.clone()),
            ("IPCooldownSeconds", self.cooldown.map(|seconds| seconds.to_string())),
        ];
        let given = settings.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.map(|(name, value)| format!("Successfully set {name} to: {value}\n")).collect()
    }
}

/// A truth as Go reads it.
fn truth(text: &str) -> Result<bool, Error> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::new("invalid value. Use true or false to set strictaffinity")),
    }
}

fn blocks(text: &str) -> Result<u32, Error> {
    text.parse().map_err(|_| Error::new("invalid value for maxblockhost. Use a valid number"))
}

fn state(text: &str) -> Result<String, Error> {
    match text {
        "Enabled" | "Disabled" => Ok(text.to_owned()),
        _ => Err(Error::new("invalid value for --kubevirt-ip-persistence. Use Enabled or Disabled")),
    }
}

fn seconds(text: &str) -> Result<u32, Error> {
    let wrong = || {
        Error::new(format_args!("invalid value for --ip-cooldown-seconds. Use a number from 0 to {LONGEST_COOLDOWN}"))
    };
    text.parse().ok().filter(|&seconds| seconds <= LONGEST_COOLDOWN).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::world::{self, text_of};
    use super::*;

    const NONE: ConfigureArgs = ConfigureArgs {
        strictaffinity: None,
        max_blocks_per_host: None,
        kubevirt_ip_persistence: None,
        ip_cooldown_seconds: None,
    };

    fn strict(text: &str) -> ConfigureArgs {
        ConfigureArgs { strictaffinity: Some(text.to_owned()), ..NONE }
    }

    fn most(text: &str) -> ConfigureArgs {
        ConfigureArgs { max_blocks_per_host: Some(text.to_owned()), ..NONE }
    }

    fn cooldown(text: &str) -> ConfigureArgs {
        ConfigureArgs { ip_cooldown_seconds: Some(text.to_owned()), ..NONE }
    }

    #[test]
    fn refusals_use_the_known_texts() {
        let persistence = ConfigureArgs { kubevirt_ip_persistence: Some("enabled".to_owned()), ..NONE };
        for (arguments, expected) in [
            (NONE, "at least one configuration option must be specified"),
            (strict("yes"), "invalid value. Use true or false to set strictaffinity"),
            (most("x"), "invalid value for maxblockhost. Use a valid number"),
            (most("-1"), "invalid value for maxblockhost. Use a valid number"),
            (persistence, "invalid value for --kubevirt-ip-persistence. Use Enabled or Disabled"),
            (cooldown("1201"), "invalid value for --ip-cooldown-seconds. Use a number from 0 to 1200"),
            (cooldown("-1"), "invalid value for --ip-cooldown-seconds. Use a number from 0 to 1200"),
        ] {
            assert_eq!(text_of(&Changes::read(&arguments).unwrap_err()), expected);
        }
    }

    #[tokio::test]
    async fn what_is_not_given_stays() {
        let session = world::empty().await;
        let console = Console::default();
        run(&session, &console, &cooldown("1200")).await.unwrap();
        let both = ConfigureArgs { max_blocks_per_host: Some("4".to_owned()), ..strict("true") };
        run(&session, &console, &both).await.unwrap();
        let settings = of_cluster(&session).settings().await.unwrap();
        assert!(settings.strict_affinity && settings.auto_allocate_blocks);
        assert_eq!((settings.max_blocks_per_host, settings.ip_cooldown_seconds), (4, 1200));
        let done = "Successfully set StrictAffinity to: true\nSuccessfully set MaxBlocksPerHost to: 4\n";
        assert_eq!(Changes::read(&both).unwrap().done(), done);
    }

    #[tokio::test]
    async fn settings_that_contradict_each_other_are_not_stored() {
        let session = world::empty().await;
        let error = run(&session, &Console::default(), &most("4")).await.unwrap_err();
        assert!(text_of(&error).starts_with("error: MaxBlocksPerHost requires StrictAffinity to be enabled"));
        assert_eq!(of_cluster(&session).settings().await.unwrap(), IpamConfig::default());
    }
}
