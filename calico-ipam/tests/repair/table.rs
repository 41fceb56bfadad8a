//! Each fault, and all of them together.

use calico_ipam::audit::{Class, Finding};
use calico_ipam::repair::End;

use crate::cluster::Objects;
use crate::faults::{Fault, all};
use crate::shelf::Shelf;
use crate::site::{Site, audit_and_plan, carry_out};

/// A store with these faults.
fn with(site: &Site, faults: &[&Fault]) -> Shelf {
    let mut objects = site.objects.clone();
    faults.iter().for_each(|fault| (fault.plant)(&mut objects));
    Shelf::new(&objects)
}

fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    texts.sort();
    texts
}

/// The paths of the objects that are not the same in both.
fn differences(before: &Objects, after: &Objects) -> Vec<String> {
    let paths: std::collections::BTreeSet<&String> = before.0.keys().chain(after.0.keys()).collect();
    let text = |objects: &Objects, path: &String| objects.0.get(path).map(|object| object.to_string());
    paths.into_iter().filter(|path| text(before, path) != text(after, path)).cloned().collect()
}

/// Plants, and asserts what is found, planned, changed, and left in the end.
#[track_caller]
fn assert_repaired(site: &Site, faults: &[&Fault]) {
    let names: Vec<&str> = faults.iter().map(|fault| fault.name).collect();
    let store = with(site, faults);
    let (findings, plan) = audit_and_plan(&store);
    assert_eq!(texts(&findings), texts(faults.iter().flat_map(|fault| &fault.found)), "found: {names:?}");
    let planned = plan.repairs.iter().map(|repair| &repair.text);
    assert_eq!(texts(planned), texts(faults.iter().flat_map(|fault| &fault.repairs)), "planned: {names:?}");
    let mut whys = faults.iter().flat_map(|fault| &fault.left).collect::<Vec<_>>();
    for left in &plan.left {
        let at = whys.iter().position(|why| left.why.ends_with(**why));
        whys.remove(at.unwrap_or_else(|| panic!("{names:?}: {left:?}, and {whys:?}")));
    }
    assert!(whys.is_empty(), "{names:?}: {whys:?}");
    let mut about: Vec<&Finding> = plan.repairs.iter().flat_map(|repair| &repair.findings).collect();
    about.extend(plan.left.iter().map(|left| &left.finding));
    about.sort();
    assert_eq!(about, findings.iter().collect::<Vec<_>>(), "{names:?}: each finding once");

    let before = store.objects();
    let ends = carry_out(&store, &plan);
    assert!(ends.iter().all(|end| *end == End::Done), "{names:?}: {ends:?}");
    for path in differences(&before, &store.objects()) {
        let is_expected = faults.iter().flat_map(|fault| &fault.changed).any(|part| path.contains(part));
        assert!(is_expected, "{names:?}: {path} was changed");
    }
    let (after, again) = audit_and_plan(&store);
    assert_eq!(after, plan.left.iter().map(|left| left.finding.clone()).collect::<Vec<_>>(), "{names:?}");
    assert_eq!(again.repairs, [], "{names:?}");
}

#[test]
fn nothing_is_planned_where_nothing_is_wrong() {
    let site = Site::new();
    let (findings, plan) = audit_and_plan(&Shelf::new(&site.objects));
    assert_eq!((findings, plan), Default::default());
}

#[test]
fn each_fault() {
    let site = Site::new();
    let faults = all(&site);
    assert!(faults.len() >= 20);
    for fault in &faults {
        assert_repaired(&site, &[fault]);
    }
}

#[test]
fn all_faults_together() {
    let site = Site::new();
    assert_repaired(&site, &all(&site).iter().collect::<Vec<_>>());
}

/// Whatever a repair rests on is changed between plan and repair.
#[test]
fn what_another_writer_has_changed_is_skipped() {
    let site = Site::new();
    for fault in all(&site) {
        let plan = audit_and_plan(&with(&site, &[&fault])).1;
        for part in &fault.changed {
            let store = with(&site, &[&fault]);
            let paths: Vec<String> =
                store.objects().0.into_keys().filter(|path| path.contains(part.as_str())).collect();
            if paths.is_empty() {
                // It is to be created.
                continue;
            }
            paths.iter().for_each(|path| store.touch(path, |_| {}));
            let before = store.objects();
            let ends = carry_out(&store, &plan);
            let skipped = ends.iter().any(|end| matches!(end, End::Skipped(why) if why.starts_with("another writer")));
            assert!(skipped, "{}: {part}: {ends:?}", fault.name);
            let differing = differences(&before, &store.objects());
            assert!(differing.iter().all(|path| !paths.contains(path)), "{}: {part}: {differing:?}", fault.name);
        }
    }
}

/// Dying after any write makes nothing dangerous that was not, and the next run repairs the rest.
#[test]
fn death_after_each_write() {
    let site = Site::new();
    let faults = all(&site);
    let danger = |findings: &[Finding]| -> Vec<String> {
        texts(findings.iter().filter(|finding| finding.class() == Class::Danger))
    };
    let mut sets: Vec<Vec<&Fault>> = faults.iter().map(|fault| vec![fault]).collect();
    sets.push(faults.iter().collect());
    for faults in sets {
        for life in 0.. {
            let store = with(&site, &faults);
            store.one_by_one.set(true);
            let (before, plan) = audit_and_plan(&store);
            store.life.set(life);
            carry_out(&store, &plan);
            let has_died = store.life.get() == 0;
            store.life.set(usize::MAX);
            let (after, again) = audit_and_plan(&store);
            let before = danger(&before);
            assert!(danger(&after).iter().all(|it| before.contains(it)), "{}, {life}: {after:#?}", faults[0].name);
            let ends = carry_out(&store, &again);
            assert!(ends.iter().all(|end| *end == End::Done), "{}, {life}: {ends:?}", faults[0].name);
            let left: Vec<Finding> = plan.left.iter().map(|left| left.finding.clone()).collect();
            assert_eq!(audit_and_plan(&store).0, left, "{}, {life}", faults[0].name);
            if !has_died {
                break;
            }
        }
    }
}
