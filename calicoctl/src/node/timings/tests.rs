use std::io::Write;

use calico_plugin::log::{FileConf, Level, Limits, Log, Phase, Value};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::scratch::Scratch;

fn line(process: u32, said: &str) -> String {
    format!("2026-01-02 03:04:05.{process:03} [INFO][{process}] cni-plugin/add.rs 1: {said}\n")
}

fn add(process: u32) -> String {
    line(process, &format!("opened the datastore container=\"c{process}\" datastore=\"local\" ms=1.00"))
        + &line(process, &format!("ADD done addresses=\"10.0.0.1\" container=\"c{process}\" ms=2.50 ms_kernel=0.50"))
}

/// The containers of the table.
#[track_caller]
fn containers(log: &Path, wanted: usize) -> Vec<String> {
    let table = report(log, wanted).unwrap().unwrap();
    table.lines().skip(1).map(|row| row.split_whitespace().nth(3).unwrap().to_owned()).collect()
}

#[test]
fn a_table() {
    let folder = Scratch::new("timings");
    let id = "0123456789abcdef0123456789abcdef";
    let text = [
        "garbage \u{fffd} = \"\n".to_owned(),
        add(1),
        line(2, &format!("took the host end down container=\"{id}\" interface=\"cali1\" ms=0.05")),
        line(2, &format!("removed the interfaces container=\"{id}\" ms=16.00")),
        line(2, &format!("DEL done container=\"{id}\" ms=18.00")),
        "2026-01-02 03:04:05.003 [ERROR][3] ipam/plugin.rs 1: GC failed container=\"\" error=no such thing\n"
            .to_owned(),
    ];
    let log = folder.write("cni.log", text.concat());
    let expected = "\
TIME                      VERB        CONTAINER       TOTAL    OPEN   DOWN   LINKS   
2026-01-02 03:04:05.001   ADD         c1              2.50     1.00   -      -       
2026-01-02 03:04:05.002   DEL         0123456789abc   18.00    -      0.05   16.00   
2026-01-02 03:04:05.003   GC (ipam)   -               failed   -      -      -       
";
    assert_eq!(report(&log, 20).unwrap().unwrap(), expected);
    assert_eq!(report(&log, 1).unwrap().unwrap().lines().count(), 2);
}

#[test]
fn what_the_plugins_write_is_read() {
    let folder = Scratch::new("written");
    let conf = FileConf { path: folder.root().join("cni.log"), limits: Limits::configured(0, 0, 0) };
    let log = Log::open("ipam", Level::Info, Some(&conf));
    let whole = Phase::begin(&log, "c1");
    Phase::begin(&log, "c1").end("assigned the addresses", &[("addresses", Value::Text("10.0.0.1/32 \"=\""))]);
    whole.end("ADD done", &[]);
    log.error("DEL failed", &[("container", Value::Text("c1")), ("error", Value::Plain(&"ms=1 container=\"c2\""))]);
    let table = report(&conf.path, 20).unwrap().unwrap();
    let words: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["TIME", "VERB", "CONTAINER", "TOTAL", "ASSIGN"]);
    assert_eq!(words[1][2..5], ["ADD", "(ipam)", "c1"]);
    assert_eq!(words[2][2..], ["DEL", "(ipam)", "c1", "failed", "-"]);
}

#[test]
fn earlier_files_are_read_if_the_newest_has_too_few() {
    let folder = Scratch::new("rotated");
    let (begun, ended) = {
        let both = add(5);
        let middle = both.find('\n').unwrap() + 1;
        (both[..middle].to_owned(), both[middle..].to_owned())
    };
    let log = folder.write("cni.log", ended + &add(6));
    folder.write("cni-2026-01-02T03-04-05.000-size.log", add(4) + &begun);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all((add(2) + &add(3)).as_bytes()).unwrap();
    folder.write("cni-2026-01-01T03-04-05.000-size.log.gz", gzip.finish().unwrap());
    folder.write("cni-2025-12-31T03-04-05.000-size.log.zst", [0x28, 0xb5, 0x2f, 0xfd]);
    folder.write("cni-2025-12-30T03-04-05.000-size.log", add(1));
    assert_eq!(containers(&log, 2), ["c5", "c6"]);
    assert_eq!(containers(&log, 4), ["c3", "c4", "c5", "c6"]);
    assert_eq!(containers(&log, 20), ["c1", "c2", "c3", "c4", "c5", "c6"]);
    let table = report(&log, 3).unwrap().unwrap();
    assert!(table.contains("c5          2.50    1.00"), "{table}");
    // Between the renaming and the next call.
    std::fs::remove_file(&log).unwrap();
    assert_eq!(containers(&log, 1), ["c4"]);
}

#[test]
fn only_the_end_of_a_file_is_read() {
    let folder = Scratch::new("tail");
    let filler = "x".repeat(TAIL) + "\n";
    let log = folder.write("cni.log", add(1) + &filler + &add(2));
    assert_eq!(containers(&log, 20), ["c2"]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all((add(3) + &filler + &filler + &add(4)).as_bytes()).unwrap();
    folder.write("cni-2026-01-01T03-04-05.000-size.log.gz", gzip.finish().unwrap());
    assert_eq!(containers(&log, 20), ["c4", "c2"]);
}

#[test]
fn no_log_and_no_call_are_said() {
    let folder = Scratch::new("none");
    let log = folder.root().join("cni.log");
    assert_eq!(report(&log, 20).unwrap().unwrap_err(), format!("There is no log {}.", log.display()));
    assert!(report(&folder.root().join("no/folder/cni.log"), 20).unwrap().is_err());
    folder.write("cni.log", line(1, "something container=\"c\" ms=1.00"));
    let why = report(&log, 20).unwrap().unwrap_err();
    assert_eq!(why, format!("There is no call of this plugin in {}.", log.display()));
    assert!(report(folder.root(), 20).unwrap_err().to_string().starts_with("cannot read "));
    assert!(report(&log, 0).is_err());
}
