// The tree of commands: the table of contents of the program.
#include <array>

#include "apps/berth/commands/checkpoint_commands.h"
#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/functions/execution_commands.h"
#include "apps/berth/commands/image_commands.h"
#include "apps/berth/commands/registry_commands.h"
#include "apps/berth/ui/ui_command.h"

namespace berth::cli::commands {
namespace {

using grammar::Entry;
using grammar::Flag;
using grammar::Section;
using grammar::Type;

constexpr std::array tree{
    Entry{"run", &run_command, Section::Common},
    Entry{"exec", &exec_command, Section::Common},
    Entry{"ps", &list_containers_command, Section::Common},
    Entry{"build", &build_command, Section::Common},
    Entry{"bootstrap", &bootstrap_command, Section::Common},
    Entry{"pull", &pull_command, Section::Common},
    Entry{"push", &push_command, Section::Common},
    Entry{"images", &list_images_command, Section::Common},
    Entry{"login", &login_command, Section::Common},
    Entry{"logout", &logout_command, Section::Common},
    Entry{"search", &search_command, Section::Common},
    Entry{"version", &version_command, Section::Common},
    Entry{"info", &info_command, Section::Common},

    Entry{"builder", nullptr, Section::Management, "Manage builds"},
    Entry{"builder build", &build_command},
    Entry{"builder prune", &prune_builds_command},

    Entry{"checkpoint", nullptr, Section::Management, "Manage checkpoints of running containers"},
    Entry{"checkpoint create", &create_checkpoint_command},
    Entry{"checkpoint ls", &list_checkpoints_command},
    Entry{"checkpoint list", &list_checkpoints_command, Section::Alias},
    Entry{"checkpoint rm", &remove_checkpoint_command},
    Entry{"checkpoint remove", &remove_checkpoint_command, Section::Alias},

    Entry{"compose", &compose_command, Section::Management},

    Entry{"container", nullptr, Section::Management, "Manage containers"},
    Entry{"container attach", &attach_command},
    Entry{"container clone", &clone_command},
    Entry{"container commit", &commit_command},
    Entry{"container cp", &copy_command},
    Entry{"container create", &create_command},
    Entry{"container diff", &diff_command},
    Entry{"container exec", &exec_command},
    Entry{"container export", &export_command},
    Entry{"container inspect", &inspect_container_command},
    Entry{"container kill", &kill_command},
    Entry{"container logs", &logs_command},
    Entry{"container ls", &list_containers_command},
    Entry{"container list", &list_containers_command, Section::Alias},
    Entry{"container ps", &list_containers_command, Section::Alias},
    Entry{"container pause", &pause_command},
    Entry{"container port", &port_command},
    Entry{"container prune", &prune_containers_command},
    Entry{"container rename", &rename_command},
    Entry{"container restart", &restart_command},
    Entry{"container rm", &remove_command},
    Entry{"container remove", &remove_command, Section::Alias},
    Entry{"container rollback", &rollback_command},
    Entry{"container run", &run_command},
    Entry{"container snapshot", &snapshot_command},
    Entry{"container start", &start_command},
    Entry{"container stats", &stats_command},
    Entry{"container stop", &stop_command},
    Entry{"container top", &top_command},
    Entry{"container unpause", &unpause_command},
    Entry{"container update", &update_command},
    Entry{"container wait", &wait_command},

    Entry{"context", nullptr, Section::Management, "Manage contexts"},
    Entry{"context create", &create_context_command},
    Entry{"context ls", &list_contexts_command},
    Entry{"context list", &list_contexts_command, Section::Alias},
    Entry{"context rm", &remove_context_command},
    Entry{"context show", &show_context_command},
    Entry{"context inspect", &inspect_context_command},
    Entry{"context use", &use_context_command},

    Entry{"function", nullptr, Section::Management, "Manage functions"},
    Entry{"function callback", &answer_callback_command},
    Entry{"function deploy", &deploy_function_command},
    Entry{"function execution", &show_execution_command},
    Entry{"function execution-pause", &pause_execution_command},
    Entry{"function execution-resume", &resume_execution_command},
    Entry{"function execution-rm", &remove_execution_command},
    Entry{"function execution-stop", &stop_execution_command},
    Entry{"function executions", &list_executions_command},
    Entry{"function init", &init_function_command},
    Entry{"function invoke", &invoke_function_command},
    Entry{"function logs", &function_logs_command},
    Entry{"function ls", &list_functions_command},
    Entry{"function list", &list_functions_command, Section::Alias},
    Entry{"function package-image", &package_image_command},
    Entry{"function package-zip", &package_zip_command},
    Entry{"function rm", &remove_function_command},
    Entry{"function remove", &remove_function_command, Section::Alias},
    Entry{"function watch", &watch_function_command},
    Entry{"function why", &why_function_command},

    Entry{"image", nullptr, Section::Management, "Manage images"},
    Entry{"image bootstrap", &bootstrap_command},
    Entry{"image build", &build_command},
    Entry{"image history", &history_command},
    Entry{"image import", &import_command},
    Entry{"image inspect", &inspect_image_command},
    Entry{"image load", &load_command},
    Entry{"image ls", &list_images_command},
    Entry{"image list", &list_images_command, Section::Alias},
    Entry{"image pin", &pin_image_command},
    Entry{"image pins", &list_pins_command},
    Entry{"image prune", &prune_images_command},
    Entry{"image pull", &pull_command},
    Entry{"image push", &push_command},
    Entry{"image rm", &remove_image_command},
    Entry{"image remove", &remove_image_command, Section::Alias},
    Entry{"image save", &save_command},
    Entry{"image tag", &tag_command},
    Entry{"image tree", &image_tree_command},
    Entry{"image unpin", &unpin_image_command},
    Entry{"image verify", &verify_images_command},

    Entry{"network", nullptr, Section::Management, "Manage networks"},
    Entry{"network connect", &connect_network_command},
    Entry{"network create", &create_network_command},
    Entry{"network disconnect", &disconnect_network_command},
    Entry{"network inspect", &inspect_network_command},
    Entry{"network ls", &list_networks_command},
    Entry{"network list", &list_networks_command, Section::Alias},
    Entry{"network prune", &prune_networks_command},
    Entry{"network rm", &remove_network_command},
    Entry{"network remove", &remove_network_command, Section::Alias},

    Entry{"registry", nullptr, Section::Management, "Serve a registry"},
    Entry{"registry gc", &collect_registry_command},
    Entry{"registry ls", &list_repositories_command},
    Entry{"registry serve", &serve_registry_command},

    Entry{"system", nullptr, Section::Management, "Look after the engine"},
    Entry{"system df", &disk_usage_command},
    Entry{"system dial-stdio", &dial_stdio_command, Section::Alias},
    Entry{"system events", &events_command},
    Entry{"system info", &info_command},
    Entry{"system prune", &prune_system_command},

    Entry{"volume", nullptr, Section::Management, "Manage volumes"},
    Entry{"volume clone", &clone_volume_command},
    Entry{"volume create", &create_volume_command},
    Entry{"volume export", &export_volume_command},
    Entry{"volume import", &import_volume_command},
    Entry{"volume inspect", &inspect_volume_command},
    Entry{"volume ls", &list_volumes_command},
    Entry{"volume list", &list_volumes_command, Section::Alias},
    Entry{"volume prune", &prune_volumes_command},
    Entry{"volume rename", &rename_volume_command},
    Entry{"volume rm", &remove_volume_command},
    Entry{"volume remove", &remove_volume_command, Section::Alias},

    Entry{"attach", &attach_command},
    Entry{"bill", &bill_command},
    Entry{"clone", &clone_command},
    Entry{"commit", &commit_command},
    Entry{"cp", &copy_command},
    Entry{"create", &create_command},
    Entry{"deploy", &deploy_stack_command},
    Entry{"diff", &diff_command},
    Entry{"events", &events_command},
    Entry{"export", &export_command},
    Entry{"history", &history_command},
    Entry{"import", &import_command},
    Entry{"inspect", &inspect_command},
    Entry{"kill", &kill_command},
    Entry{"load", &load_command},
    Entry{"logs", &logs_command},
    Entry{"pause", &pause_command},
    Entry{"port", &port_command},
    Entry{"rename", &rename_command},
    Entry{"restart", &restart_command},
    Entry{"rm", &remove_command},
    Entry{"rmi", &remove_image_command},
    Entry{"rollback", &rollback_command},
    Entry{"save", &save_command},
    Entry{"snapshot", &snapshot_command},
    Entry{"start", &start_command},
    Entry{"stats", &stats_command},
    Entry{"stop", &stop_command},
    Entry{"tag", &tag_command},
    Entry{"top", &top_command},
    Entry{"ui", &ui::ui_command},
    Entry{"unpause", &unpause_command},
    Entry{"update", &update_command},
    Entry{"wait", &wait_command},
};

constexpr std::array program_flags{
    Flag{.name = "config", .type = Type::String, .help = "Folder of config.json and plugins"},
    Flag{'c', "context", Type::String, "Name of the context (default: what \"context use\" chose)"},
    Flag{'D', "debug", Type::Bool, "Say more about failures"},
    Flag{'H', "host", Type::List,
         "Engine to talk to: unix://PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST (default: $BERTH_HOST, else "
         "berth's own "
         "socket)"},
    Flag{'l', "log-level", Type::String,
         "Accepted for compatibility (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")", "info"},
    Flag{.name = "tls", .help = "Use TLS, without checking the engine's certificate; implied by --tlsverify"},
    Flag{.name = "tlscacert", .type = Type::String, .help = "CA of the engine's certificate"},
    Flag{.name = "tlscert", .type = Type::String, .help = "Client certificate"},
    Flag{.name = "tlskey", .type = Type::String, .help = "Key of the client certificate"},
    Flag{.name = "tlsverify", .help = "Use TLS and check the engine's certificate"},
    Flag{'v', "version", Type::Bool, "Print the version and quit"},
};

}  // namespace

const grammar::Command program_command{
    .usage = "[OPTIONS] COMMAND [ARG...]",
    .flags = program_flags,
    .arity = grammar::at_least(0),
    .placement = grammar::FlagPlacement::BeforeArguments,
};

grammar::Tree command_tree() {
  return tree;
}

}  // namespace berth::cli::commands
