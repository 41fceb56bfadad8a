use super::super::world;
use super::*;
use crate::cli::ShowArgs;

const NONE: ShowArgs = ShowArgs { ip: None, show_blocks: false, show_borrowed: false, show_configuration: false };

async fn blocks(session: &Session) -> Vec<Block> {
    let mut answers = session.store().read(&[Want::List(Listing::Blocks)]).await.unwrap();
    answers.list::<Block>().into_iter().map(|stored| stored.value).collect()
}

#[tokio::test]
async fn pools_and_blocks_as_recorded() {
    let session = world::recorded().await;
    let reserved = calico_model::reservation::IpReservationSpec {
        reserved_cidrs: vec!["10.10.0.0/30".to_owned(), "10.10.0.9".to_owned()],
        ..Default::default()
    };
    let reservation = calico_model::Resource::new(Kind::IpReservation, "r", reserved);
    world::put(&session, Key::resource(Kind::IpReservation, "r"), reservation).await;
    let used = of_cluster(&session).utilisation(&[]).await.unwrap();
    let expected = "\
+----------+------------------+------------+------------+--------------+-------------------+
| GROUPING | CIDR             | IPS TOTAL  | IPS IN USE | IPS RESERVED | IPS FREE          |
+----------+------------------+------------+------------+--------------+-------------------+
| IP Pool  | 10.10.0.0/16     |      65536 |     5 (0%) |       5 (0%) |      65526 (100%) |
| Block    | 10.10.174.128/26 |         64 |     4 (6%) |       0 (0%) |          60 (94%) |
| Block    | 10.10.218.64/26  |         64 |     1 (2%) |       0 (0%) |          63 (98%) |
| IP Pool  | fd00:10::/64     | 9.2234e+18 |     0 (0%) |       0 (0%) | 9.2234e+18 (100%) |
+----------+------------------+------------+------------+--------------+-------------------+
";
    assert_eq!(usage::table(&used, true), expected);
    let without = usage::table(&used, false);
    assert_eq!(without.matches("IP Pool").count(), 2);
    assert!(!without.contains("Block") && without.contains("|     5 (0%) |       5 (0%) |      65526 (100%) |"));
}

#[tokio::test]
async fn blocks_of_no_pool_come_last() {
    let session = world::recorded().await;
    let found = world::get::<calico_model::IpPool>(&session, world::pool_key("pool1")).await.unwrap();
    session.store().commit(&[calico_datastore::Write::delete(found.key, found.revision)]).await.unwrap();
    let used = of_cluster(&session).utilisation(&[]).await.unwrap();
    let groups =
        |with| usage::table(&used, with).lines().filter_map(|l| l.get(2..9).map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(groups(true)[3..6], ["IP Pool", "Block  ", "Block  "]);
    assert_eq!(groups(false).len(), 5);
}

#[tokio::test]
async fn borrowed_addresses_as_recorded() {
    let session = world::recorded().await;
    let expected = "\
+---------------+----------------+------------------+-------------+------+---------------+
| IP            | BORROWING-NODE | BLOCK            | BLOCK OWNER | TYPE | ALLOCATED-TO  |
+---------------+----------------+------------------+-------------+------+---------------+
| 10.10.174.140 | node-b         | 10.10.174.128/26 | node-a      | pod  | shop/borrow-0 |
+---------------+----------------+------------------+-------------+------+---------------+
";
    let mut blocks = blocks(&session).await;
    assert_eq!(borrowed::table(&blocks), expected);
    // Nobody's block; an attribute that is not there; a virtual machine; a tunnel; a holder that names no node.
    let lent = &mut blocks[0];
    lent.affinity = None;
    lent.allocations[0] = Some(99);
    lent.attributes[1].secondary.insert("vmi-name".to_owned(), "vm".to_owned());
    let tunnel = &mut lent.attributes[2].secondary;
    tunnel.remove("pod");
    tunnel.insert("type".to_owned(), "ipipTunnelAddress".to_owned());
    blocks[1].attributes[0].secondary.clear();
    let text = borrowed::table(&blocks);
    let row = |address: &str| {
        let line = text.lines().find(|line| line.contains(address)).unwrap_or_default();
        line.split('|').map(str::trim).skip(2).collect::<Vec<_>>().join(",")
    };
    assert_eq!(row("10.10.174.128 "), "");
    assert_eq!(row("10.10.174.129"), "node-a,10.10.174.128/26,,vmi,shop/vm,");
    assert_eq!(row("10.10.174.130"), "node-a,10.10.174.128/26,,ipipTunnelAddress,,");
    assert!(text.ends_with("+\n\nNote: found 1 IP allocations without an explicit node association. Unable to determine if they are borrowed.\n"));
}

#[test]
fn settings() {
    let expected = "\
+------------------------------+---------+
| PROPERTY                     | VALUE   |
+------------------------------+---------+
| StrictAffinity               | false   |
| AutoAllocateBlocks           | true    |
| MaxBlocksPerHost             | 0       |
| KubeVirtVMAddressPersistence | Enabled |
| IPCooldownSeconds            | 0       |
+------------------------------+---------+
";
    assert_eq!(settings_table(&IpamConfig::default()), expected);
}

#[tokio::test]
async fn who_has_an_address() {
    let session = world::recorded().await;
    let text = async |address: &str| {
        let address = address::parse(address).unwrap();
        use_text(address, of_cluster(&session).use_of(address).await).unwrap()
    };
    assert_eq!(
        text("10.10.174.128").await,
        "IP 10.10.174.128 is in use\nHandle ID: net1.web-1\nActive Owner Attributes:\n  namespace: shop\n  node: node-a\n  pod: web-1\n"
    );
    assert_eq!(text("10.10.174.190").await, "10.10.174.190 is not assigned\n");
    assert_eq!(text("192.0.2.1").await, "192.0.2.1 is not assigned\n");
    let address = "10.0.0.1".parse().unwrap();
    let alternate = [("pod".to_owned(), "b".to_owned())].into();
    let block = "10.0.0.0/26".parse().unwrap();
    let bare = AddressUse { handle: None, attributes: Default::default(), alternate, sequence: 0, block };
    assert_eq!(
        use_text(address, Ok(bare)).unwrap(),
        "IP 10.0.0.1 is in use\nHandle ID: <none>\nNo Active Owner attributes defined\nAlternate Owner Attributes:\n  pod: b\n"
    );
    assert_eq!(use_text(address, Err(IpamError::InCooldown { address })).unwrap(), "10.0.0.1 is not assigned\n");
}

#[tokio::test]
async fn every_view_runs() {
    let session = world::recorded().await;
    let arguments = |change: fn(&mut ShowArgs)| {
        let mut arguments = ShowArgs { ..NONE };
        change(&mut arguments);
        arguments
    };
    for arguments in [
        NONE,
        arguments(|a| a.show_blocks = true),
        arguments(|a| a.show_borrowed = true),
        arguments(|a| a.show_configuration = true),
        arguments(|a| a.ip = Some("10.10.174.128".to_owned())),
    ] {
        run(&session, &Console::default(), &arguments).await.unwrap();
    }
    let wrong = arguments(|a| a.ip = Some("foo".to_owned()));
    let error = run(&session, &Console::default(), &wrong).await.unwrap_err();
    assert_eq!(error.to_string(), "Error executing command: invalid IP address specified: foo");
}
