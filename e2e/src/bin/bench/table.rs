//! The figures as a person pastes them.

use std::fmt::Write;
use std::time::Duration;

use e2e::Ran;

use crate::crowd::Pair;
use crate::kubelet::Measured as Pods;
use crate::measure::{Figures, Measured, VERBS, spans};
use crate::settings::{AT_ONCE, Datastore};
use crate::tool::Measured as Tool;

/// The columns of figures, with their digits after the point.
const COLUMNS: [(&str, usize); 8] = [
    ("p50 ms", 1),
    ("p90 ms", 1),
    ("p99 ms", 1),
    ("cpu ms", 1),
    ("peak MiB", 1),
    ("requests", 0),
    ("all ms", 0),
    ("calls/s", 0),
];

/// The figures of one row; some calls have no such figure.
type Row = [Option<f64>; COLUMNS.len()];

/// The table of one datastore: of every folder, and then, where there are several, as multiples of the first one's.
pub fn of(datastore: Datastore, measured: &[Measured<'_>]) -> String {
    let name = datastore.name();
    let mut lines = vec![header(name, "")];
    let folders: Vec<(&str, Option<Vec<Row>>)> = measured
        .iter()
        .map(|Measured { folder, verbs }| (folder.name.as_str(), verbs.as_ref().ok().map(rows)))
        .collect();
    for (number, label) in labels().iter().enumerate() {
        for (folder, rows) in &folders {
            if let Some(rows) = rows {
                lines.push(line(label, folder, &rows[number], |column| COLUMNS[column].1));
            }
        }
    }
    let mut text = aligned(&lines);
    for Measured { folder, verbs } in measured {
        if let Err(reason) = verbs {
            let _ = writeln!(text, "{}: not supported: {reason}", folder.name);
        }
    }

    let [(first, Some(base)), others @ ..] = folders.as_slice() else { return text };
    let mut lines = vec![header(name, &format!(" : {first}"))];
    for (number, label) in labels().iter().enumerate() {
        for (folder, rows) in others {
            if let Some(rows) = rows {
                lines.push(line(label, folder, &ratios(&rows[number], &base[number]), |_| 2));
            }
        }
    }
    if lines.len() > 1 {
        text.push_str(&aligned(&lines));
    }
    text
}

/// The table of calls in crowded pools, and of what they cost as multiples of the same where there is room.
pub fn of_crowds(pairs: &[Pair]) -> String {
    let name = "etcd, crowded";
    let (mut figures, mut multiples) = (vec![header(name, "")], vec![header(&format!("{name} : not"), "")]);
    for Pair { labels, runs } in pairs {
        let rows: Vec<(&str, [Row; 2])> = runs
            .iter()
            .map(|(folder, runs)| {
                (folder.as_str(), runs.each_ref().map(|runs| row(&runs.iter().collect::<Vec<_>>(), None, None)))
            })
            .collect();
        for (number, label) in labels.iter().enumerate() {
            figures.extend(
                rows.iter().map(|(folder, rows)| line(label, folder, &rows[number], |column| COLUMNS[column].1)),
            );
        }
        multiples.extend(
            rows.iter().map(|(folder, [base, crowded])| line(labels[1], folder, &ratios(crowded, base), |_| 2)),
        );
    }
    aligned(&figures) + &aligned(&multiples)
}

/// The table of the tool's commands.
pub fn of_tool(measured: &[Tool]) -> String {
    let mut lines = vec![header("calicoctl, on etcd", "")];
    for Tool { folder, rows } in measured {
        let rows = rows.iter().map(|(label, runs)| (label, row(&runs.iter().collect::<Vec<_>>(), None, None)));
        lines.extend(rows.map(|(label, row)| line(label, folder, &row, |column| COLUMNS[column].1)));
    }
    aligned(&lines)
}

/// The table of pods on a kubelet: the middle, least and greatest of the rounds, in seconds. What the plugin costs is the
/// difference within a round.
pub fn of_kubelet(measured: &[Pods]) -> String {
    let columns = ["median s", "min s", "max s", "rounds"].map(str::to_owned);
    let mut lines =
        vec![[vec![format!("kubelet, {AT_ONCE} pods at once"), "plugins".to_owned()], columns.to_vec()].concat()];
    for Pods { folder, rounds } in measured {
        let host_network = |[host, _]: &[Duration; 2]| host.as_secs_f64();
        let networked = |[_, networked]: &[Duration; 2]| networked.as_secs_f64();
        let more = |round: &[Duration; 2]| networked(round) - host_network(round);
        let rows: [(&str, Vec<f64>); 3] = [
            ("all run, hostNetwork", rounds.iter().map(host_network).collect()),
            ("all run", rounds.iter().map(networked).collect()),
            ("all run, less hostNetwork", rounds.iter().map(more).collect()),
        ];
        for (label, values) in rows {
            let figures = [50, 0, 100].map(|percent| percentile(values.clone(), percent).unwrap_or_default());
            let figures = figures.map(|figure| format!("{figure:.2}"));
            lines.push(
                [vec![label.to_owned(), folder.clone()], figures.to_vec(), vec![rounds.len().to_string()]].concat(),
            );
        }
    }
    aligned(&lines)
}

fn labels() -> [String; 4] {
    let [add, del] = VERBS;
    [add.to_owned(), del.to_owned(), format!("{add}, {AT_ONCE} at once"), format!("{del}, {AT_ONCE} at once")]
}

/// The rows of a folder, as [`labels`] has them.
fn rows(verbs: &[Figures; 2]) -> Vec<Row> {
    let single = verbs.iter().map(|figures| {
        let requests = figures.requests.map(|count| count as f64);
        row(&figures.single.iter().collect::<Vec<_>>(), requests, None)
    });
    let at_once = verbs.iter().map(|figures| {
        let spans: Vec<f64> = spans(&figures.rounds).map(|span| span.as_secs_f64() * 1e3).collect();
        row(&figures.rounds.iter().flatten().collect::<Vec<_>>(), None, percentile(spans, 50))
    });
    single.chain(at_once).collect()
}

fn row(runs: &[&Ran], requests: Option<f64>, all: Option<f64>) -> Row {
    let of = |figure: fn(&Ran) -> f64, percent| percentile(runs.iter().map(|ran| figure(ran)).collect(), percent);
    let wall = |ran: &Ran| ran.wall().as_secs_f64() * 1e3;
    let processor = |ran: &Ran| ran.processor.as_secs_f64() * 1e3;
    let peak = |ran: &Ran| ran.peak as f64 / f64::from(1 << 20);
    let rate = all.map(|all| AT_ONCE as f64 / all * 1e3);
    [of(wall, 50), of(wall, 90), of(wall, 99), of(processor, 50), of(peak, 50), requests, all, rate]
}

fn ratios(row: &Row, base: &Row) -> Row {
    std::array::from_fn(|column| Some(row[column]? / base[column]?))
}

/// The smallest value that so many percent of all do not exceed.
fn percentile(mut values: Vec<f64>, percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied()
}

fn header(name: &str, compared: &str) -> Vec<String> {
    let columns = COLUMNS.iter().map(|(column, _)| (*column).to_owned());
    [name.to_owned(), format!("plugins{compared}")].into_iter().chain(columns).collect()
}

fn line(label: &str, folder: &str, row: &Row, digits: impl Fn(usize) -> usize) -> Vec<String> {
    let cell = |(column, value): (usize, &Option<f64>)| match value {
        Some(value) => format!("{value:.*}", digits(column)),
        None => "-".to_owned(),
    };
    [label.to_owned(), folder.to_owned()].into_iter().chain(row.iter().enumerate().map(cell)).collect()
}

/// An empty line, and then words to the left, figures to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let mut text = "\n".to_owned();
    for line in lines {
        let padded = line.iter().enumerate().map(|(column, cell)| match (column, width(column)) {
            (0 | 1, width) => format!("{cell:width$}"),
            (_, width) => format!("{cell:>width$}"),
        });
        text.push_str(&padded.collect::<Vec<_>>().join("  "));
        text.push('\n');
    }
    text
}
