// All commands of the program: each is defined beside its action; table.cc hangs them into the tree.
#pragma once

#include "apps/berth/grammar/command.h"

namespace berth::cli::commands {

/// Every name under which something can be called.
grammar::Tree command_tree();
/// Flags that stand before the command.
extern const grammar::Command program_command;

using grammar::Command;

// containers: life
extern const Command run_command, create_command, start_command, attach_command, exec_command;
extern const Command stop_command, restart_command, kill_command, pause_command, unpause_command,
    remove_command, wait_command, rename_command, update_command;
// containers: looking at them
extern const Command list_containers_command, logs_command, top_command, stats_command, port_command,
    diff_command, inspect_container_command;
// containers: files
extern const Command copy_command, export_command, commit_command, snapshot_command, rollback_command,
    clone_command;
// images
extern const Command list_images_command, tag_command, remove_image_command, history_command, save_command,
    load_command, import_command, build_command, bootstrap_command, pull_command, push_command,
    search_command, inspect_image_command, login_command, logout_command;
// volumes
extern const Command create_volume_command, list_volumes_command, inspect_volume_command,
    remove_volume_command, rename_volume_command, clone_volume_command, export_volume_command,
    import_volume_command;
// networks
extern const Command create_network_command, list_networks_command, inspect_network_command,
    remove_network_command, connect_network_command, disconnect_network_command;
// applications
extern const Command compose_command;
// the engine
extern const Command info_command, version_command, events_command, inspect_command, disk_usage_command,
    dial_stdio_command;
// cleaning up
extern const Command prune_containers_command, prune_images_command, prune_volumes_command,
    prune_networks_command, prune_builds_command, prune_system_command;
// functions
extern const Command init_function_command, deploy_function_command, deploy_stack_command,
    invoke_function_command, function_logs_command, list_functions_command, remove_function_command,
    watch_function_command, why_function_command, bill_command, package_image_command, package_zip_command;
// contexts
extern const Command list_contexts_command, show_context_command, inspect_context_command,
    use_context_command;

}  // namespace berth::cli::commands
