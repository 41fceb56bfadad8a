//! `ipam release --ip`: gives an address back, whoever has it.

use std::net::IpAddr;

use calico_ipam::{AddressUse, Error as IpamError, ReleaseRequest};

use super::{address, of_cluster};
use crate::cli::ReleaseArgs;
use crate::console::Console;
use crate::error::Error;
use crate::session::Session;

/// Releases the address.
pub async fn run(session: &Session, console: &Console, arguments: &ReleaseArgs) -> Result<(), Error> {
    let text = arguments.ip.as_deref().ok_or_else(|| Error::new("either --ip or --from-report must be given"))?;
    let address = address::parse(text)?;
    let found = match of_cluster(session).use_of(address).await {
        Err(IpamError::Unassigned { .. }) => return Err(not_assigned(address)),
        Err(error @ IpamError::InCooldown { .. }) => return Err(not_assigned(address).with_detail(error.advice())),
        found => found?,
    };
    release(session, address, found).await?;
    console.line(format_args!("Successfully released IP address {address}"))
}

/// Releases this allocation of the address, and not one that came after it was looked up.
async fn release(session: &Session, address: IpAddr, found: AddressUse) -> Result<(), Error> {
    let request = ReleaseRequest { address, handle: found.handle, sequence: Some(found.sequence) };
    match of_cluster(session).release_addresses(&[request]).await {
        Ok(released) if released.released.contains(&address) => Ok(()),
        Ok(_) => Err(not_assigned(address)),
        Err(failed) => Err(match failed.error {
            error @ (IpamError::BadSequenceNumber { .. } | IpamError::BadHandle { .. }) => {
                let text =
                    format!("IP address {address} was released by another writer meanwhile, and is left as it is");
                Error::new(text).with_detail(&error).with_detail(error.advice())
            }
            error => error.into(),
        }),
    }
}

fn not_assigned(address: IpAddr) -> Error {
    Error::new(format_args!("IP address {address} is not assigned"))
}

#[cfg(test)]
mod tests {
    use super::super::world::{self, text_of};
    use super::*;

    async fn free(session: &Session, address: &str) -> Result<(), Error> {
        let arguments = ReleaseArgs { ip: Some(address.to_owned()), from_report: Vec::new(), force: false };
        run(session, &Console::default(), &arguments).await
    }

    #[tokio::test]
    async fn an_address_is_released_once() {
        let session = world::recorded().await;
        free(&session, "10.10.174.128").await.unwrap();
        for address in ["10.10.174.128", "10.10.174.200", "192.0.2.1"] {
            let error = free(&session, address).await.unwrap_err();
            assert_eq!(text_of(&error), format!("IP address {address} is not assigned"));
        }
        assert!(of_cluster(&session).use_of("10.10.174.129".parse().unwrap()).await.is_ok());
        let wrong = free(&session, "foo").await.unwrap_err();
        assert_eq!(text_of(&wrong), "Error executing command: invalid IP address specified: foo");
    }

    #[tokio::test]
    async fn an_address_that_was_given_to_another_stays() {
        let session = world::recorded().await;
        let address = "10.10.174.128".parse().unwrap();
        let before = of_cluster(&session).use_of(address).await.unwrap();
        free(&session, "10.10.174.128").await.unwrap();
        // Also where the new holder has the same handle.
        for pod in ["other", "web-1"] {
            world::assign(&session, "node-a", pod, "10.10.174.128").await;
            let error = release(&session, address, before.clone()).await.unwrap_err();
            assert!(text_of(&error).contains("was released by another writer meanwhile"), "{}", text_of(&error));
            assert!(of_cluster(&session).use_of(address).await.is_ok());
            free(&session, "10.10.174.128").await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_address_at_rest_is_not_assigned() {
        let session = world::recorded().await;
        of_cluster(&session).change_settings(|settings| settings.ip_cooldown_seconds = 1200).await.unwrap();
        free(&session, "10.10.174.128").await.unwrap();
        let error = free(&session, "10.10.174.128").await.unwrap_err();
        assert!(text_of(&error).starts_with("IP address 10.10.174.128 is not assigned\nit was released, and can"));
    }
}
