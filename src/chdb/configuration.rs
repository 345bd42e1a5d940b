//! What the engine is told in files: the sizes of its caches and pools, and the role of the read-only user. They are
//! written anew at every start; nothing in them is meant to be edited.

use std::io;
use std::path::{Path, PathBuf};

/// Writes the engine's configuration into `directory` and returns the main file's path.
pub(super) fn write(directory: &Path, max_memory: u64, cores: usize) -> io::Result<PathBuf> {
    let users = directory.join("users.xml");
    std::fs::write(&users, USERS)?;
    let main = directory.join("config.xml");
    std::fs::write(&main, configuration(&users, max_memory, cores))?;
    Ok(main)
}

/// Threads beyond a few end when they are idle: each keeps three files of `/proc` open. Caches share half of the
/// memory: what is unpacked gets most, for the newest 200,000 events, among which pages lie, take 120 MB, and the columns by
/// which 5 million are counted as much again. Merges and mutations get as many threads as there are cores, and give way to everything else on them: the
/// server's defaults are made for machines that do nothing else.
fn configuration(users: &Path, max_memory: u64, cores: usize) -> String {
    let users = users
        .display()
        .to_string()
        .replace('&', "&amp;")
        .replace('<', "&lt;");
    let merges = cores.clamp(2, 16);
    let part = |share| max_memory / share;
    format!(
        "<clickhouse>
    <users_config>{users}</users_config>
    <max_thread_pool_size>2000</max_thread_pool_size>
    <max_thread_pool_free_size>32</max_thread_pool_free_size>
    <background_pool_size>{merges}</background_pool_size>
    <os_threads_nice_value_merge_mutate>10</os_threads_nice_value_merge_mutate>
    <background_schedule_pool_size>{small}</background_schedule_pool_size>
    <background_move_pool_size>1</background_move_pool_size>
    <background_fetches_pool_size>1</background_fetches_pool_size>
    <background_common_pool_size>2</background_common_pool_size>
    <background_buffer_flush_schedule_pool_size>1</background_buffer_flush_schedule_pool_size>
    <background_distributed_schedule_pool_size>1</background_distributed_schedule_pool_size>
    <background_message_broker_schedule_pool_size>1</background_message_broker_schedule_pool_size>
    <mark_cache_size>{mark}</mark_cache_size>
    <uncompressed_cache_size>{unpacked}</uncompressed_cache_size>
    <index_mark_cache_size>{index}</index_mark_cache_size>
    <index_uncompressed_cache_size>{index}</index_uncompressed_cache_size>
    <primary_index_cache_size>{index}</primary_index_cache_size>
    <query_condition_cache_size>{index}</query_condition_cache_size>
    <text_index_tokens_cache_size>{index}</text_index_tokens_cache_size>
    <text_index_header_cache_size>{index}</text_index_header_cache_size>
    <text_index_postings_cache_size>{index}</text_index_postings_cache_size>
    <vector_similarity_index_cache_size>0</vector_similarity_index_cache_size>
    <mmap_cache_size>100</mmap_cache_size>
    <merge_tree>
        <number_of_free_entries_in_pool_to_lower_max_size_of_merge>{lower}</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
        <number_of_free_entries_in_pool_to_execute_mutation>{mutate}</number_of_free_entries_in_pool_to_execute_mutation>
        <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>{mutate}</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    </merge_tree>
</clickhouse>
",
        small = cores.clamp(2, 8),
        unpacked = part(4),
        mark = part(16),
        index = part(40),
        lower = merges,
        mutate = merges,
    )
}

/// A query gets as many threads as there are cores. By default, one for each GiB of memory that is free: of the 2 GiB that
/// the engine has that is one thread, and half the speed.
///
/// One user, as the engine's sessions always are `default`; the read-only user's sessions take on `reader` alone.
const USERS: &str = "<clickhouse>
    <profiles>
        <default><max_threads_min_free_memory_per_thread>67108864</max_threads_min_free_memory_per_thread></default>
    </profiles>
    <quotas><default/></quotas>
    <roles>
        <operator><grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants></operator>
        <reader><grants><query>GRANT SELECT ON *.*</query></grants></reader>
    </roles>
    <users>
        <default>
            <password></password>
            <networks><ip>::/0</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants><query>GRANT operator, reader</query></grants>
        </default>
    </users>
</clickhouse>
";
