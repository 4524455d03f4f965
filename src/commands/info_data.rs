//! INFO's sections about the dataset: persistence, replication, modules, cluster, scripting engines,
//! keyspace.
//!
//! For: what becomes of the data, and how much there is. May touch: what `Cx` carries.
//! Always: see `info.rs`; what the server does not have is shown as a server shows it that does not use it.

use super::info::Text;
use crate::command::Cx;
use crate::command::scripts::Kind;
use crate::config::Directive;
use crate::keyspace::Db;

/// What is saved.
pub(super) fn persistence(cx: &mut Cx<'_>, text: &mut Text) {
    text.zeros(&["loading", "async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age"]);
    text.field("current_fork_perc", "0.00");
    text.zeros(&["current_save_keys_processed", "current_save_keys_total"]);
    text.field("rdb_changes_since_last_save", cx.host.observe.totals().dirty);
    text.field("rdb_bgsave_in_progress", 0);
    text.field("rdb_last_save_time", cx.host.identity.started_s);
    text.field("rdb_last_bgsave_status", "ok");
    text.field("rdb_last_bgsave_time_sec", -1);
    text.field("rdb_current_bgsave_time_sec", -1);
    text.zeros(&[
        "rdb_saves",
        "rdb_last_cow_size",
        "rdb_last_load_keys_expired",
        "rdb_last_load_keys_loaded",
        "aof_enabled",
        "aof_rewrite_in_progress",
        "aof_rewrite_scheduled",
    ]);
    text.field("aof_last_rewrite_time_sec", -1);
    text.field("aof_current_rewrite_time_sec", -1);
    text.field("aof_last_bgrewrite_status", "ok");
    text.zeros(&["aof_rewrites", "aof_rewrites_consecutive_failures"]);
    text.field("aof_last_write_status", "ok");
    text.zeros(&[
        "aof_last_cow_size",
        "module_fork_in_progress",
        "module_fork_last_cow_size",
        "slot_migration_fork_in_progress",
    ]);
}

/// Who follows whom. A server that nobody follows and that follows nobody has a history of its own, named by
/// its run.
pub(super) fn replication(cx: &mut Cx<'_>, text: &mut Text) {
    text.field("role", "master");
    text.zeros(&["connected_slaves", "replicas_waiting_psync"]);
    text.field("master_failover_state", "no-failover");
    text.field("master_replid", &cx.host.identity.run_id);
    text.field("master_replid2", "0".repeat(40));
    text.field("master_repl_offset", 0);
    text.field("second_repl_offset", -1);
    text.field("repl_backlog_active", 0);
    text.field("repl_backlog_size", cx.settings.bytes(Directive::ReplBacklogSize));
    text.zeros(&["repl_backlog_first_byte_offset", "repl_backlog_histlen"]);
}

/// There are no modules: clients look for names here.
pub(super) fn modules(_: &mut Cx<'_>, _: &mut Text) {}

/// Whether the server is part of a cluster.
pub(super) fn cluster(_: &mut Cx<'_>, text: &mut Text) {
    text.field("cluster_enabled", 0);
}

/// What runs scripts.
pub(super) fn scripting_engines(cx: &mut Cx<'_>, text: &mut Text) {
    let used =
        [Kind::Script, Kind::Function].map(|kind| cx.host.scripts.state_bytes(kind)).iter().sum::<usize>();
    text.field("engines_count", 1);
    text.field("engines_total_used_memory", used);
    text.field("engines_total_memory_overhead", 0);
    text.field(
        "engine_0",
        format_args!("name=LUA,module=built-in,abi_version=4,used_memory={used},memory_overhead=0"),
    );
}

/// How many keys there are in each database that has any.
pub(super) fn keyspace(cx: &mut Cx<'_>, text: &mut Text) {
    let now_ms = cx.db.now_ms();
    for (index, count) in Count::of(&mut cx.db).iter().enumerate().filter(|(_, count)| count.keys > 0) {
        text.line(format_args!(
            "db{index}:keys={},expires={},avg_ttl={},keys_with_volatile_items={}",
            count.keys,
            count.deadlines,
            count.mean_ttl_ms(now_ms),
            count.volatile
        ));
    }
}

/// What a database has.
#[derive(Clone, Copy, Default, Debug)]
struct Count {
    keys: usize,
    deadlines: u64,
    deadline_sum_ms: u128,
    volatile: u64,
}

impl Count {
    /// Of every database.
    fn of(db: &mut Db<'_>) -> Vec<Count> {
        let mut counts = vec![Count::default(); db.space().databases];
        db.each_shard(0, |_, shard, _| {
            for (index, keys) in shard.databases() {
                let count = &mut counts[index];
                count.keys += keys.table.len();
                count.deadlines += keys.tally.deadlines;
                count.deadline_sum_ms += keys.tally.deadline_sum_ms;
                count.volatile += keys.tally.volatile;
            }
            true
        });
        counts
    }

    /// Mean time that keys with a deadline have left; 0 when there are none.
    fn mean_ttl_ms(&self, now_ms: u64) -> u128 {
        let deadlines = u128::from(self.deadlines);
        let left_ms = self.deadline_sum_ms.saturating_sub(deadlines * u128::from(now_ms));
        left_ms.checked_div(deadlines).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_time_to_live_is_that_of_keys_with_a_deadline() {
        let count = Count { keys: 9, deadlines: 2, deadline_sum_ms: 1_500 + 2_500, volatile: 0 };
        assert_eq!(count.mean_ttl_ms(1_000), 1_000);
        assert_eq!(count.mean_ttl_ms(5_000), 0);
        assert_eq!(Count::default().mean_ttl_ms(1_000), 0);
    }
}
