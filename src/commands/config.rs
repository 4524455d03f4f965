//! CONFIG.
//!
//! For: looking at settings, changing them, and keeping the file in step. May touch: what `Cx` carries, and
//! the configuration file.
//! Always: what a directive is and takes is the config room's; CONFIG SET runs while everything is held, so
//! nobody sees half of its pairs.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::help::write_help;
use crate::command::{Command, Cx, Flags, Group, Host, Locks, Outcome, cmd, container};
use crate::config::{self, Asker, Directive, Disk, Extras, Remark, SetError, Settings};
use crate::fault::Fault;
use crate::resp::Args;
use crate::value::glob;

const FOR_ADMINISTRATORS: Flags =
    Flags::ADMIN.union(Flags::NO_SCRIPT).union(Flags::LOADING).union(Flags::STALE);
const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The rows of this family.
pub const ROWS: &[Command] = &[container("CONFIG", CONFIG)
    .group(Group::Server)
    .since("2.0.0")
    .doc("A container for commands about the configuration.", "")];

const CONFIG: &[Command] = &[
    cmd("GET", get)
        .arity(-3)
        .flags(FOR_ADMINISTRATORS)
        .group(Group::Server)
        .since("2.0.0")
        .cost("O(N), N configuration parameters asked for")
        .history(&[("7.0.0", "Takes more than one pattern.")])
        .doc("Returns settings by name or pattern.", "parameter [parameter ...]"),
    cmd("HELP", help)
        .arity(2)
        .flags(Flags::LOADING.union(Flags::STALE))
        .group(Group::Server)
        .since("5.0.0")
        .cost("O(1)")
        .doc("Lists the subcommands.", ""),
    cmd("RESETSTAT", resetstat)
        .arity(2)
        .flags(FOR_ADMINISTRATORS)
        .locks(Locks::All)
        .group(Group::Server)
        .since("2.0.0")
        .cost("O(1)")
        .doc("Sets the statistics back.", "")
        .tips(ALL_NODES),
    cmd("REWRITE", rewrite)
        .arity(2)
        .flags(FOR_ADMINISTRATORS)
        .group(Group::Server)
        .since("2.8.0")
        .cost("O(1)")
        .doc("Writes the settings into the configuration file.", "")
        .tips(ALL_NODES),
    cmd("SET", set)
        .arity(-4)
        .flags(FOR_ADMINISTRATORS)
        .locks(Locks::All)
        .group(Group::Server)
        .since("2.0.0")
        .cost("O(N), N configuration parameters set")
        .history(&[("7.0.0", "Takes more than one setting.")])
        .doc("Changes settings while the server runs.", "<parameter value> [parameter value ...]")
        .tips(ALL_NODES),
];

const HELP: &[&str] = &[
    "GET <pattern> [<pattern> ...]",
    "    Returns the settings whose names match, with their values.",
    "SET <parameter> <value> [<parameter> <value> ...]",
    "    Changes settings: all of them, or none if one is refused.",
    "RESETSTAT",
    "    Sets the statistics that INFO shows back.",
    "REWRITE",
    "    Writes the settings into the configuration file.",
];

fn get(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let patterns: Vec<&[u8]> = args.from(2).iter().map(up_to_zero).collect();
    let found = config::get(cx.settings, &patterns, &|pattern, name| glob::matches(pattern, name, true));
    cx.out.map(found.len());
    for (name, value) in found {
        cx.out.bulk(&name);
        cx.out.bulk(&value);
    }
    Ok(Outcome::Done)
}

/// A pattern ends at its first zero byte; a name has to match as a whole.
fn up_to_zero(arg: &[u8]) -> &[u8] {
    match memchr::memchr(0, arg) {
        Some(zero) if arg[..zero].iter().any(|b| b"*?[".contains(b)) => &arg[..zero],
        _ => arg,
    }
}

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    write_help(cx.out, "CONFIG", HELP);
    Ok(Outcome::Done)
}

fn resetstat(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    cx.host.observe.reset();
    cx.host.reclaim.reset();
    // The worker's own counts of this turn are not in its lane yet.
    cx.db.record.counts = Default::default();
    cx.out.ok();
    Ok(Outcome::Done)
}

fn rewrite(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Outcome, Fault> {
    write_settings(cx, false)?;
    cx.out.ok();
    Ok(Outcome::Done)
}

/// Brings the configuration file up to date; `with_defaults`: with every setting.
pub(super) fn write_settings(cx: &Cx<'_>, with_defaults: bool) -> Result<(), Fault> {
    let path = cx.host.identity.config_file.as_bytes();
    if path.is_empty() {
        return Err(Fault::NO_CONFIG_FILE);
    }
    let extras = Extras { users: None, is_forced: with_defaults };
    let written =
        current(path).and_then(|old| config::write_file(path, &config::rewrite(cx.settings, &old, extras)));
    match written {
        Ok(()) => tracing::info!("CONFIG REWRITE executed with success."),
        Err(error) => {
            tracing::warn!("CONFIG REWRITE failed: {error}");
            return Err(Fault::rewrite_failed(&error));
        }
    }
    Ok(())
}

/// The file as it stands; one that is gone is written anew.
fn current(path: &[u8]) -> io::Result<Vec<u8>> {
    match fs::read(Path::new(std::ffi::OsStr::from_bytes(path))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn set(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Outcome, Fault> {
    let words: Vec<&[u8]> = args.from(2).iter().collect();
    let (pairs, rest) = words.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fault::SYNTAX);
    }
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    let asker = Asker { is_local: cx.session.local, is_loading: false };
    let (settings, changed) =
        config::set(cx.settings, &pairs, asker, &mut Disk).map_err(|error| refusal(&error))?;
    apply(cx.host, cx.settings, &settings, &changed)?;
    if changed.contains(&Directive::TrackingTableMaxKeys) {
        give_up_tracked(cx, settings.int(Directive::TrackingTableMaxKeys) as usize);
    }
    cx.host.remarked.news(&settings, &changed).iter().for_each(Remark::log);
    if !changed.is_empty() {
        cx.host.reconfigure(settings);
    }
    cx.out.ok();
    Ok(Outcome::Done)
}

/// Does what may fail when settings come into force; on failure all is as it was before.
fn apply(host: &Host, old: &Settings, new: &Settings, changed: &[Directive]) -> Result<(), Fault> {
    for directive in changed {
        let (is_done, reason) = match directive {
            Directive::Port => ((host.listen)(new), "Unable to listen on this port. Check server logs."),
            Directive::Bind => ((host.listen)(new), "Failed to bind to specified addresses."),
            Directive::OomScoreAdj | Directive::OomScoreAdjValues => (
                host.oom_score.follow(new).is_ok(),
                "Failed to set current oom_score_adj. Check server logs.",
            ),
            _ => continue,
        };
        if !is_done {
            let name = directive.row().name;
            tracing::warn!(
                "Failed applying new configuration. Possibly related to new {name} setting. \
                 Restoring previous settings."
            );
            // What was in force a moment ago is taken again; where it is not, the log says so.
            let _ = host.oom_score.follow(old);
            let _ = (host.listen)(old);
            return Err(refusal(&SetError::Failed(name.into(), reason.into())));
        }
    }
    Ok(())
}

/// Gives up tracked keys until there are at most so many; with 0 they may be as many as they are.
fn give_up_tracked(cx: &mut Cx<'_>, most: usize) {
    let known = cx.host.trackers.keys.load(Ordering::Relaxed);
    let mut excess = if most > 0 { known.saturating_sub(most) } else { 0 };
    cx.db.each_shard(0, |_, shard, record| {
        while excess > 0
            && let Some(given_up) = shard.give_up_tracked(record.chance.next_u64())
        {
            record.stale.given_up.push(given_up);
            excess -= 1;
        }
        excess > 0
    });
}

fn refusal(error: &SetError) -> Fault {
    match error {
        SetError::Loading => Fault::LOADING,
        error => Fault::config_set(&error.text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_byte_ends_a_pattern_but_not_a_name() {
        assert_eq!(up_to_zero(b"max*\0x"), b"max*");
        assert_eq!(up_to_zero(b"maxmemory\0*"), b"maxmemory\0*");
        assert_eq!(up_to_zero(b"maxmemory"), b"maxmemory");
    }
}
