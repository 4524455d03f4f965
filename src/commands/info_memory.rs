//! INFO's memory section.
//!
//! For: what takes how much memory. May touch: what `Cx` carries.
//! Always: see `info.rs`; the figures come from [`Figures`], which MEMORY shows, too.

use super::info::{Text, human};
use super::memory::Figures;
use crate::command::Cx;
use crate::command::scripts::Kind;
use crate::config::Directive;
use crate::observe::process;
use crate::script;

/// What takes how much memory.
pub(super) fn memory(cx: &mut Cx<'_>, text: &mut Text) {
    let figures = Figures::of(cx);
    used(text, &figures);
    allocated(text, &figures);
    let machine = process::machine_bytes();
    if let Some(machine) = machine {
        text.bytes("total_system_memory", machine);
    }
    scripts(cx, text);
    text.bytes("maxmemory", cx.settings.bytes(Directive::MaxMemory) as usize);
    text.field("maxmemory_policy", cx.settings.choice(Directive::MaxMemoryPolicy));
    ratios(text, &figures);
    text.zeros(&[
        "mem_not_counted_for_evict",
        "mem_replication_backlog",
        "mem_total_replication_buffers",
        "mem_replicas_repl_buffer",
        "mem_clients_slaves",
    ]);
    text.field("mem_clients_normal", figures.clients);
    text.zeros(&[
        "mem_cluster_links",
        "mem_cluster_slot_import",
        "mem_cluster_slot_export",
        "mem_aof_buffer",
    ]);
    text.field("mem_allocator", crate::memory::allocator());
    text.zeros(&["mem_overhead_db_hashtable_rehashing", "active_defrag_running"]);
    text.field("lazyfree_pending_objects", cx.host.reclaim.waiting());
    text.field("lazyfreed_objects", cx.host.reclaim.freed());
}

fn used(text: &mut Text, figures: &Figures) {
    text.bytes("used_memory", figures.used);
    text.bytes("used_memory_rss", figures.resident);
    text.bytes("used_memory_peak", figures.peak);
    text.field("used_memory_peak_perc", format_args!("{:.2}%", figures.peak_percent()));
    text.field("used_memory_overhead", figures.overhead());
    text.field("used_memory_startup", figures.startup);
    text.field("used_memory_dataset", figures.dataset());
    text.field("used_memory_dataset_perc", format_args!("{:.2}%", figures.dataset_percent()));
}

/// What the allocator holds is known as what is resident.
fn allocated(text: &mut Text, figures: &Figures) {
    text.field("allocator_allocated", figures.used);
    text.field("allocator_active", figures.resident);
    text.field("allocator_resident", figures.resident);
    text.field("allocator_muzzy", 0);
}

/// The states of Lua, as they were when they last ended something, and what is known of scripts and functions
/// apart from them.
fn scripts(cx: &Cx<'_>, text: &mut Text) {
    let known = &cx.host.scripts;
    let (evals, functions) = (known.state_bytes(Kind::Script), known.state_bytes(Kind::Function));
    let (cached, cached_bytes) = known.size();
    let (libraries, registered, library_bytes) = script::functions::catalogue(&cx.host.space).size();
    text.field("used_memory_lua", evals);
    text.field("used_memory_vm_eval", evals);
    text.field("used_memory_lua_human", human(evals));
    text.field("used_memory_scripts_eval", cached_bytes);
    text.field("number_of_cached_scripts", cached);
    text.field("number_of_functions", registered);
    text.field("number_of_libraries", libraries);
    text.field("used_memory_vm_functions", functions);
    text.bytes("used_memory_vm_total", evals + functions);
    text.field("used_memory_functions", library_bytes);
    text.bytes("used_memory_scripts", cached_bytes + library_bytes);
}

fn ratios(text: &mut Text, figures: &Figures) {
    let (ratio, bytes) = (figures.fragmentation(), figures.fragmentation_bytes());
    text.field("allocator_frag_ratio", format_args!("{ratio:.2}"));
    text.field("allocator_frag_bytes", bytes);
    text.field("allocator_rss_ratio", "1.00");
    text.field("allocator_rss_bytes", 0);
    text.field("rss_overhead_ratio", "1.00");
    text.field("rss_overhead_bytes", 0);
    text.field("mem_fragmentation_ratio", format_args!("{ratio:.2}"));
    text.field("mem_fragmentation_bytes", bytes);
}
