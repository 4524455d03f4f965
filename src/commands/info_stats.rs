//! INFO's sections of counters: stats, by command, by error, latencies, debug.
//!
//! For: what was counted since the start or the last CONFIG RESETSTAT. May touch: what `Cx` carries.
//! Always: see `info.rs`.

use std::sync::atomic::Ordering::Relaxed;

use super::info::{Text, harmless};
use crate::command::Cx;
use crate::command::table::Entry;
use crate::config::Directive;
use crate::pubsub::Sort;

const BYTES_PER_KILOBYTE: f64 = 1024.0;

/// What the server did.
pub(super) fn stats(cx: &mut Cx<'_>, text: &mut Text) {
    traffic(cx, text);
    keys(cx, text);
    let channels = &cx.host.channels;
    text.field("pubsub_channels", channels.count(Sort::Channel));
    text.field("pubsub_patterns", channels.count(Sort::Pattern));
    text.field("pubsubshard_channels", channels.count(Sort::Shard));
    features(text);
    tracking(cx, text);
    errors(cx, text);
    sockets(cx, text);
    turns(cx, text);
    text.field("acl_access_denied_auth", cx.host.observe.totals().auth_failures);
    text.zeros(&[
        "acl_access_denied_cmd",
        "acl_access_denied_key",
        "acl_access_denied_channel",
        "acl_access_denied_tls_cert",
        "acl_access_denied_db",
    ]);
}

fn traffic(cx: &Cx<'_>, text: &mut Text) {
    let (totals, rate) = (cx.host.observe.totals(), cx.host.observe.rate());
    text.field("total_connections_received", totals.connections);
    text.field("total_commands_processed", totals.ran);
    text.field("instantaneous_ops_per_sec", rate.commands.round() as u64);
    text.field("total_net_input_bytes", totals.received);
    text.field("total_net_output_bytes", totals.sent);
    text.zeros(&[
        "total_net_repl_input_bytes",
        "total_net_repl_output_bytes",
        "total_net_cluster_slot_import_bytes",
        "total_net_cluster_slot_export_bytes",
    ]);
    text.field("instantaneous_input_kbps", format_args!("{:.2}", rate.received / BYTES_PER_KILOBYTE));
    text.field("instantaneous_output_kbps", format_args!("{:.2}", rate.sent / BYTES_PER_KILOBYTE));
    text.field("instantaneous_input_repl_kbps", "0.00");
    text.field("instantaneous_output_repl_kbps", "0.00");
    text.field("rejected_connections", cx.host.observe.refused.load(Relaxed));
    text.zeros(&["sync_full", "sync_partial_ok", "sync_partial_err"]);
}

fn keys(cx: &Cx<'_>, text: &mut Text) {
    let totals = cx.host.observe.totals();
    text.field("expired_keys", totals.expired);
    text.field("expired_subkeys", totals.expired_fields);
    text.field("expired_fields", totals.expired_fields);
    text.field("expired_stale_perc", "0.00");
    text.field("expired_keys_with_volatile_items_stale_perc", "0.00");
    text.zeros(&["expired_time_cap_reached_count", "evicted_keys", "evicted_clients"]);
    text.field("evicted_scripts", cx.host.scripts.evicted());
    text.zeros(&["total_eviction_exceeded_time", "current_eviction_exceeded_time"]);
    text.field("keyspace_hits", totals.hits);
    text.field("keyspace_misses", totals.misses);
}

/// Counters of features that there are none of.
fn features(text: &mut Text) {
    text.zeros(&[
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
    ]);
}

fn tracking(cx: &Cx<'_>, text: &mut Text) {
    let trackers = &cx.host.trackers;
    text.field("tracking_total_keys", trackers.keys.load(Relaxed));
    text.field("tracking_total_items", trackers.items.load(Relaxed));
    text.field("tracking_total_prefixes", trackers.prefix_count());
}

fn errors(cx: &Cx<'_>, text: &mut Text) {
    text.field("unexpected_error_replies", 0);
    text.field("total_error_replies", cx.host.observe.totals().errors);
    text.field("dump_payload_sanitizations", 0);
}

fn sockets(cx: &Cx<'_>, text: &mut Text) {
    let totals = cx.host.observe.totals();
    text.field("total_reads_processed", totals.reads);
    text.field("total_writes_processed", totals.writes);
    // All sockets are the workers'; one worker alone is what others call the main thread.
    let threaded = u64::from(cx.host.identity.workers > 1);
    text.field("io_threaded_reads_processed", totals.reads * threaded);
    text.field("io_threaded_writes_processed", totals.writes * threaded);
    text.zeros(&["io_threaded_freed_objects", "io_threaded_accept_processed"]);
    text.field("client_query_buffer_limit_disconnections", totals.query_limit_closes);
    text.field("client_output_buffer_limit_disconnections", totals.output_limit_closes);
    text.zeros(&["reply_buffer_shrinks", "reply_buffer_expands"]);
}

/// A worker's turn is what others call a cycle of the event loop.
fn turns(cx: &Cx<'_>, text: &mut Text) {
    let (totals, rate) = (cx.host.observe.totals(), cx.host.observe.rate());
    text.field("eventloop_cycles", totals.turns);
    text.field("eventloop_duration_sum", totals.turn_nanos / 1000);
    text.field("eventloop_duration_cmd_sum", totals.command_nanos / 1000);
    text.field("instantaneous_eventloop_cycles_per_sec", rate.turns.round() as u64);
    let mean_ns = if rate.turns > 0.0 { rate.turn_nanos / rate.turns } else { 0.0 };
    text.field("instantaneous_eventloop_duration_usec", (mean_ns / 1000.0).round() as u64);
}

/// The commands that were called, by name.
fn by_name<'h>(cx: &Cx<'h>) -> Vec<&'h Entry> {
    let mut entries: Vec<_> = cx.host.table.entries().iter().collect();
    entries.sort_by(|a, b| a.full_name.cmp(&b.full_name));
    entries
}

/// What each command did.
pub(super) fn commandstats(cx: &mut Cx<'_>, text: &mut Text) {
    for entry in by_name(cx) {
        let (calls, nanos, rejected, failed) = cx.host.observe.command(entry.index);
        if calls + rejected + failed == 0 {
            continue;
        }
        let usec = nanos / 1000;
        let per_call = if calls == 0 { 0.0 } else { usec as f64 / calls as f64 };
        text.line(format_args!(
            "cmdstat_{}:calls={calls},usec={usec},usec_per_call={per_call:.2},\
             rejected_calls={rejected},failed_calls={failed}",
            harmless(entry.full_name.as_bytes())
        ));
    }
}

/// How often each error was answered.
pub(super) fn errorstats(cx: &mut Cx<'_>, text: &mut Text) {
    for (code, count) in cx.host.observe.errors() {
        text.line(format_args!("errorstat_{}:count={count}", harmless(&code)));
    }
}

/// How long commands took.
pub(super) fn latencystats(cx: &mut Cx<'_>, text: &mut Text) {
    if !cx.settings.bool(Directive::LatencyTracking) {
        return;
    }
    for entry in by_name(cx) {
        let durations = cx.host.observe.durations(entry.index);
        if durations.total() == 0 {
            continue;
        }
        let percentile = |percent: &f64| {
            let usec = durations.percentile_ns(*percent) as f64 / 1000.0;
            format!("p{percent}={usec:.3}")
        };
        let list: Vec<_> = cx.settings.percentiles().iter().map(percentile).collect();
        let name = harmless(entry.full_name.as_bytes());
        text.line(format_args!("latency_percentiles_usec_{name}:{}", list.join(",")));
    }
}

/// What only developers look at.
pub(super) fn debug(_: &mut Cx<'_>, text: &mut Text) {
    text.zeros(&["io_threaded_reads_pending", "io_threaded_writes_pending"]);
}
