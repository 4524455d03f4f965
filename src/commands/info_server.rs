//! INFO's sections about the process: server, TLS, clients, CPU.
//!
//! For: what identifies the server, who is connected, what the processor did. May touch: what `Cx` carries.
//! Always: see `info.rs`.

use std::sync::atomic::Ordering::Relaxed;

use super::info::{Text, harmless};
use crate::client::ClientKind;
use crate::command::Cx;
use crate::config::Directive;
use crate::keyspace::pause::What;
use crate::observe::process;

const SECONDS_PER_DAY: u64 = 24 * 3600;
const LRU_MASK: u64 = (1 << 24) - 1;

/// What the server is.
pub(super) fn server(cx: &mut Cx<'_>, text: &mut Text) {
    let (identity, clock) = (&cx.host.identity, &cx.host.space.clock);
    text.field("redis_version", crate::REDIS_VERSION);
    text.field("server_name", "ochre");
    text.field("ochre_version", crate::VERSION);
    text.field("redis_git_sha1", "00000000");
    text.field("redis_git_dirty", 0);
    text.field("redis_build_id", 0);
    text.field("redis_mode", "standalone");
    text.field("server_mode", "standalone");
    text.known("os", process::system());
    text.field("arch_bits", usize::BITS);
    text.field("multiplexing_api", "epoll");
    text.field("process_id", std::process::id());
    text.field("process_supervised", identity.supervised);
    text.field("run_id", &identity.run_id);
    text.field("tcp_port", cx.settings.int(Directive::Port));
    text.field("server_time_usec", clock.now_us());
    if clock.is_virtual() {
        text.field("ochre_clock", clock.status().mode);
    }
    let uptime_s = (cx.host.ticks.since_start_ns() - identity.started_ns) / 1_000_000_000;
    text.field("uptime_in_seconds", uptime_s);
    text.field("uptime_in_days", uptime_s / SECONDS_PER_DAY);
    let hz = cx.settings.int(Directive::Hz);
    ["hz", "configured_hz", "clients_hz"].iter().for_each(|name| text.field(name, hz));
    text.field("lru_clock", (cx.db.now_ms() / 1000) & LRU_MASK);
    text.field("executable", &identity.executable);
    text.field("config_file", &identity.config_file);
    text.field("io_threads_active", u8::from(identity.workers > 1));
    text.field("availability_zone", harmless(cx.settings.text(Directive::AvailabilityZone)));
    listeners(cx, text);
}

fn listeners(cx: &Cx<'_>, text: &mut Text) {
    let mut count = 0;
    let port = cx.settings.int(Directive::Port);
    if port != 0 {
        let bind = |word| format!("bind={},", String::from_utf8_lossy(word));
        let binds: String = cx.settings.bind().map(bind).collect();
        text.line(format_args!("listener{count}:name=tcp,{binds}port={port}"));
        count += 1;
    }
    let path = cx.settings.text(Directive::UnixSocket);
    if !path.is_empty() {
        text.line(format_args!("listener{count}:name=unix,bind={}", String::from_utf8_lossy(path)));
    }
}

/// Certificates; there are none without TLS.
pub(super) fn tls(_: &mut Cx<'_>, text: &mut Text) {
    for name in ["server_cert", "client_cert", "ca_cert"] {
        text.line(format_args!("tls_{name}_serial:none"));
        text.line(format_args!("tls_{name}_expires_in_seconds:0"));
    }
}

/// Who is connected.
pub(super) fn clients(cx: &mut Cx<'_>, text: &mut Text) {
    let all = cx.host.clients.all();
    let largest = |sizes: &mut dyn Iterator<Item = usize>| sizes.max().unwrap_or(0);
    text.field("connected_clients", cx.host.clients.count());
    text.field("cluster_connections", 0);
    text.field("maxclients", cx.settings.int(Directive::MaxClients));
    let input = largest(&mut all.iter().map(|c| c.query_bytes.load(Relaxed)));
    text.field("client_recent_max_input_buffer", input);
    let output = largest(&mut all.iter().map(|c| c.output_bytes.load(Relaxed)));
    text.field("client_recent_max_output_buffer", output);
    let waiting = &cx.db.space().waiting;
    let paused = all.iter().filter(|c| c.paused.load(Relaxed)).count();
    text.field("blocked_clients", paused + cx.host.clients.blocked.load(Relaxed));
    text.field("tracking_clients", cx.host.trackers.count());
    text.field("pubsub_clients", all.iter().filter(|c| c.kind() == ClientKind::Pubsub).count());
    text.field("watching_clients", all.iter().filter(|c| c.watched.load(Relaxed) > 0).count());
    text.field("clients_in_timeout_table", waiting.timeouts());
    text.field("total_watched_keys", all.iter().map(|c| c.watched.load(Relaxed)).sum::<usize>());
    text.field("total_blocking_keys", waiting.keys());
    text.field("total_blocking_keys_on_nokey", waiting.keys_on_removal());
    let (pause, now_ms) = (&cx.host.pause, cx.db.now_ms());
    let (reason, actions) = match pause.what(now_ms) {
        What::Nothing => ("none", "none"),
        What::Writes => ("client_pause", "write"),
        What::All => ("client_pause", "all"),
    };
    text.field("paused_reason", reason);
    text.field("paused_actions", actions);
    let left_ms = if reason == "none" { 0 } else { pause.until_ms().saturating_sub(now_ms) };
    text.field("paused_timeout_milliseconds", left_ms);
}

/// What the processor did.
pub(super) fn cpu(_: &mut Cx<'_>, text: &mut Text) {
    if let Some(time) = process::cpu_time() {
        text.field("used_cpu_sys", format_args!("{:.6}", time.system_s));
        text.field("used_cpu_user", format_args!("{:.6}", time.user_s));
        text.field("used_cpu_sys_children", format_args!("{:.6}", time.children_system_s));
        text.field("used_cpu_user_children", format_args!("{:.6}", time.children_user_s));
    }
    if let Some(time) = process::main_thread_time() {
        text.field("used_cpu_sys_main_thread", format_args!("{:.6}", time.system_s));
        text.field("used_cpu_user_main_thread", format_args!("{:.6}", time.user_s));
    }
}
