//! The manifests that a cluster gets state the same rules.

use super::*;

const POOLS: [&str; 2] = [
    include_str!("../../../../manifests/crds/v1/ippools.yaml"),
    include_str!("../../../../manifests/crds/v3/ippools.yaml"),
];

const SETTINGS: [&str; 2] = [
    include_str!("../../../../manifests/crds/v1/ipamconfigs.yaml"),
    include_str!("../../../../manifests/crds/v3/ipamconfigurations.yaml"),
];

const RESERVATIONS: [&str; 2] = [
    include_str!("../../../../manifests/crds/v1/ipreservations.yaml"),
    include_str!("../../../../manifests/crds/v3/ipreservations.yaml"),
];

/// What a manifest states about a field: what follows the first of these words behind the field's name.
fn stated<'a>(manifest: &'a str, field: &str, word: &str) -> &'a str {
    let (_, after) = manifest.split_once(&format!("\n              {field}:\n")).expect(field);
    let (_, after) = after.split_once(&format!("{word}: ")).expect(word);
    after.lines().next().unwrap_or_default()
}

#[test]
fn the_values_of_a_field() {
    for (kind, manifests, field) in [
        (Kind::IpPool, POOLS, "ipipMode"),
        (Kind::IpPool, POOLS, "vxlanMode"),
        (Kind::IpPool, POOLS, "assignmentMode"),
        (Kind::IpPool, POOLS, "allowedUses"),
        (Kind::IpamConfiguration, SETTINGS, "kubeVirtVMAddressPersistence"),
    ] {
        for manifest in manifests {
            let values: Vec<&str> = stated(manifest, field, "enum").trim_matches(['[', ']']).split(", ").collect();
            let check = |value: &str| {
                let value = if field == "allowedUses" { json!([value]) } else { json!(value) };
                let broken = lines(kind, json!({field: value}));
                broken.into_iter().filter(|line| line.contains(field)).collect::<Vec<_>>()
            };
            for value in &values {
                assert_eq!(check(value), [""; 0], "{field}: {value}");
            }
            let supported = format!("(supported values: \"{}\")", values.join("\", \""));
            let refused = check("junk");
            assert!(refused.len() == 1 && refused[0].ends_with(&supported), "{refused:?} {supported}");
        }
    }
}

#[test]
fn the_ranges_of_numbers() {
    // maxBlocksPerHost is as large in v1 as its type: there may be settings from before there was a limit.
    for (manifest, field) in
        [(SETTINGS[0], "ipCooldownSeconds"), (SETTINGS[1], "ipCooldownSeconds"), (SETTINGS[1], "maxBlocksPerHost")]
    {
        let number = |word| stated(manifest, field, word).parse::<i64>().unwrap();
        let (least, most) = (number("minimum"), number("maximum"));
        let check = |number: i64| lines(Kind::IpamConfiguration, json!({field: number}));
        assert_eq!([check(least), check(most)], [[""; 0], [""; 0]]);
        let below = format!("spec.{field} (spec.{field} in body should be greater than or equal to {least})");
        assert!(check(least - 1).contains(&below));
        let above = format!("spec.{field} (spec.{field} in body should be less than or equal to {most})");
        assert_eq!(check(most + 1), [above]);
    }
    for manifest in POOLS {
        let range = [stated(manifest, "blockSize", "minimum"), stated(manifest, "blockSize", "maximum")];
        // The shape sees to it.
        assert_eq!(range, ["0", "128"]);
    }
}

#[test]
fn lengths_and_formats() {
    for manifest in POOLS {
        assert_eq!([stated(manifest, "cidr", "format"), stated(manifest, "cidr", "maxLength")], ["cidr", "48"]);
        for field in ["nodeSelector", "namespaceSelector"] {
            assert_eq!(stated(manifest, field, "maxLength"), "1024");
        }
        assert_eq!(stated(manifest, "allowedUses", "maxItems"), "10");
    }
    for manifest in RESERVATIONS {
        assert_eq!(stated(manifest, "reservedCIDRs", "format"), "cidr");
    }
}
