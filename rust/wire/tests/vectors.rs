//! The shared corpus: each stream is understood as its index says, however it is cut into reads.

mod common;

use common::{feed, Counted, End, Outcome, LIMITS};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

struct Vector {
    name: String,
    verdict: String,
    bodies: String,
    stream: Vec<u8>,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/http1")
}

fn vectors() -> Vec<Vector> {
    let index = fs::read_to_string(corpus().join("index.tsv")).expect("the index of the corpus");
    index.lines().skip(1).map(vector).collect()
}

fn vector(row: &str) -> Vector {
    let mut columns = row.split('\t').map(str::to_owned);
    let mut column = || columns.next().unwrap_or_else(|| panic!("a column is missing: {row}"));
    let (name, verdict, bodies) = (column(), column(), column());
    let file = corpus().join(format!("{name}.http"));
    let stream = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Vector {
        name,
        verdict,
        bodies,
        stream,
    }
}

fn verdict(outcome: &Outcome) -> String {
    match outcome.end {
        End::Boundary => "ok".to_owned(),
        End::Inside => "wait".to_owned(),
        End::Refused(reject) => reject.status.to_string(),
    }
}

fn bodies(outcome: &Outcome) -> String {
    let lengths: Vec<String> = outcome
        .requests
        .iter()
        .map(|request| request.body.len().to_string())
        .collect();
    if lengths.is_empty() {
        return "-".to_owned();
    }
    lengths.join(",")
}

#[test]
fn each_stream_is_understood_as_the_index_says() {
    for vector in vectors() {
        let outcome = feed([&vector.stream[..]], &LIMITS, Counted::Step);
        assert_eq!(verdict(&outcome), vector.verdict, "{}: {:?}", vector.name, outcome.end);
        assert_eq!(bodies(&outcome), vector.bodies, "{}", vector.name);
        let folder = if vector.verdict.parse::<u16>().is_ok() {
            "reject/"
        } else {
            "accept/"
        };
        assert!(
            vector.name.starts_with(folder),
            "{} is in the wrong folder",
            vector.name
        );
    }
}

#[test]
fn no_cut_changes_what_is_understood() {
    for vector in vectors() {
        let stream = &vector.stream[..];
        let whole = feed([stream], &LIMITS, Counted::Step);
        assert_eq!(feed([stream], &LIMITS, Counted::Advance), whole, "{}", vector.name);
        assert_eq!(
            feed(stream.chunks(1), &LIMITS, Counted::Step),
            whole,
            "{} byte by byte",
            vector.name
        );
        for cut in cuts(stream.len()) {
            let (first, second) = stream.split_at(cut);
            assert_eq!(
                feed([first, second], &LIMITS, Counted::Step),
                whole,
                "{} cut at {cut}",
                vector.name
            );
        }
    }
}

/// Every position; in the middle of the few large streams, which are one long run of one letter, every 97th.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    (1..len).filter(move |&cut| cut < 2000 || len - cut < 2000 || cut % 97 == 0)
}

#[test]
fn index_and_files_are_the_same_set() {
    let listed: Vec<String> = vectors().into_iter().map(|vector| vector.name).collect();
    let named: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(named.len(), listed.len(), "a name is listed twice");
    let mut found = BTreeSet::new();
    for folder in ["accept", "reject"] {
        for entry in fs::read_dir(corpus().join(folder)).expect("a folder of the corpus") {
            let name = entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a plain name");
            found.insert(format!(
                "{folder}/{}",
                name.strip_suffix(".http").expect("a .http file")
            ));
        }
    }
    assert_eq!(found, named);
}
