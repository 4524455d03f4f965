//! Request and reply cases of the Tair compatibility suite.
//!
//! For: agreement with what other Redis-like servers are measured by. May touch: sockets and the case file.
//! Always: a case whose commands the server lacks is left out, never failed; all failures are told together.
//!
//! The cases lie beside the crate (`../shared/cts.json`, or where OCHRE_CTS says) and are not part of it.

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use support::json::{self, Json};
use support::{Client, Reply, TestServer, render, words};

/// Cases of later versions are left out.
const VERSION_LIMIT: [u32; 2] = [7, 4];

/// Cases whose expectation Valkey 9.1.2 does not meet either: its answer decides.
const KNOWN_DIFFERENCES: &[(&str, &str)] = &[];

/// How a case went.
enum Outcome {
    Passed,
    /// Not for this server; why.
    LeftOut(&'static str),
    /// The request, what was expected, what came.
    Failed(String),
}

#[test]
fn compatibility_cases_are_answered_as_expected() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cts.json");
    let path = std::env::var("OCHRE_CTS").map_or(beside, PathBuf::from);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: no cases at {} (set OCHRE_CTS)", path.display());
        return;
    };
    let cases = json::parse(&text).expect("the case file is JSON");
    let Some(server) = support::server() else { return };
    let mut runner = Runner { server, known: HashMap::new() };
    let mut failures = Vec::new();
    let mut passed = 0;
    let mut left_out: HashMap<&str, usize> = HashMap::new();
    for case in cases.items() {
        let name = case.get("name").and_then(Json::text).unwrap_or("a case without a name");
        let expected_to_differ = KNOWN_DIFFERENCES.iter().any(|(known, _)| *known == name);
        match runner.run(case) {
            Outcome::Passed => passed += 1,
            Outcome::LeftOut(why) => *left_out.entry(why).or_default() += 1,
            Outcome::Failed(_) if expected_to_differ => *left_out.entry("known to differ").or_default() += 1,
            Outcome::Failed(why) => failures.push(format!("{name}: {why}")),
        }
    }
    println!("{passed} cases passed, {} failed, left out: {left_out:?}", failures.len());
    assert!(failures.is_empty(), "{} of the cases fail:\n\n{}", failures.len(), failures.join("\n"));
}

struct Runner {
    server: TestServer,
    /// Commands asked for, and whether the server has them.
    known: HashMap<String, bool>,
}

impl Runner {
    /// Runs a case on a connection of its own, and ends what it has subscribed to.
    fn run(&mut self, case: &Json) -> Outcome {
        let mut client = self.server.client();
        let outcome = self.judge(&mut client, case);
        let mut reply = client.call(&["RESET"]);
        while reply.is_ok_and(|reply| reply != Reply::Simple(b"RESET".to_vec())) {
            reply = client.read();
        }
        outcome
    }

    fn judge(&mut self, client: &mut Client, case: &Json) -> Outcome {
        let flag = |name: &str| case.get(name) == Some(&Json::Bool(true));
        let tags = case.get("tags").and_then(Json::text).unwrap_or("");
        if tags == "cluster" {
            return Outcome::LeftOut("for a cluster");
        }
        if flag("skipped") {
            return Outcome::LeftOut("marked as skipped");
        }
        if case.get("since").and_then(Json::text).is_none_or(too_late) {
            return Outcome::LeftOut("of a later version");
        }
        client.call(&["FLUSHALL"]).expect("FLUSHALL is answered");
        let requests = case.get("command").map_or(&[][..], Json::items);
        let results = case.get("result").map_or(&[][..], Json::items);
        if results.len() < requests.len() {
            return Outcome::Failed("fewer results than requests".into());
        }
        let lines: Vec<&str> = requests.iter().filter_map(Json::text).collect();
        let all: Vec<_> = lines.iter().map(|line| arguments(line, flag("command_binary"))).collect();
        if !all.iter().all(|args| self.has(client, args)) {
            return Outcome::LeftOut("commands are missing");
        }
        for ((line, args), want) in lines.iter().zip(&all).zip(results) {
            let reply = client.call(args).expect("a request is answered");
            if is_missing(&reply) {
                return Outcome::LeftOut("subcommands are missing");
            }
            if !same(want, &reply, flag("sort_result")) {
                let got = render::lines(&reply, 2).join("\n    ");
                return Outcome::Failed(format!("{line}\n  expected: {want:?}\n  got:\n    {got}"));
            }
        }
        Outcome::Passed
    }

    fn has(&mut self, client: &mut Client, args: &[Vec<u8>]) -> bool {
        let name = String::from_utf8_lossy(&args[0]).to_lowercase();
        *self.known.entry(name.clone()).or_insert_with(|| {
            let info = client.call(&["COMMAND", "INFO", &name]).expect("COMMAND INFO is answered");
            info.members().and_then(<[_]>::first).is_some_and(|row| !row.is_null())
        })
    }
}

/// The arguments of a request; in a binary case escapes count outside of quotes too.
fn arguments(line: &str, binary: bool) -> Vec<Vec<u8>> {
    let args = words::split(line).expect("a case's request can be split");
    match binary && !line.contains('"') {
        true => args.iter().map(|a| words::unescape(&String::from_utf8_lossy(a))).collect(),
        false => args,
    }
}

fn too_late(version: &str) -> bool {
    let mut numbers = version.split('.').map(|n| n.parse().unwrap_or(u32::MAX));
    let version = [numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(0)];
    version > VERSION_LIMIT
}

fn is_missing(reply: &Reply) -> bool {
    let text = reply.text().unwrap_or_default();
    reply.is_error()
        && (text.starts_with("ERR unknown command") || text.starts_with("ERR unknown subcommand"))
}

/// Whether a reply is what a case expects; with `any_order` the members of an array may come in any.
fn same(want: &Json, got: &Reply, any_order: bool) -> bool {
    match (want, got) {
        (Json::Null, got) => got.is_null(),
        (Json::Int(a), Reply::Integer(b)) => a == b,
        (Json::Text(a), Reply::Simple(b) | Reply::Bulk(b)) => a.as_bytes() == b,
        (Json::List(a), Reply::Array(b)) if any_order => {
            let mut rest: Vec<&Reply> = b.iter().collect();
            let found = a.iter().all(|want| {
                let at = rest.iter().position(|got| same(want, got, false));
                at.map(|i| rest.swap_remove(i)).is_some()
            });
            found && rest.is_empty()
        }
        (Json::List(a), Reply::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, false))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_compared_by_type_and_order() {
        let list = |a: &[i64]| Json::List(a.iter().map(|n| Json::Int(*n)).collect());
        let array = |a: &[i64]| Reply::Array(a.iter().map(|n| Reply::Integer(*n)).collect());
        assert!(same(&list(&[1, 2]), &array(&[1, 2]), false));
        assert!(!same(&list(&[1, 2]), &array(&[2, 1]), false));
        assert!(same(&list(&[1, 2]), &array(&[2, 1]), true));
        assert!(!same(&list(&[1, 1]), &array(&[1, 2]), true));
        assert!(!same(&list(&[1]), &array(&[1, 2]), true));
        assert!(!same(&Json::Text("1".into()), &Reply::Integer(1), false));
        assert!(!same(&Json::Text("no".into()), &Reply::Error(b"no".to_vec()), false));
        assert!(same(&Json::Null, &Reply::NullBulk, false));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(!too_late("7.4.0") && !too_late("6.2.10") && !too_late("2.8.9"));
        assert!(too_late("7.10.0") && too_late("8.0.0") && too_late("soon"));
    }
}
