// Tables: from the innermost things to the whole file. Sources: the Compose specification (05-services,
// 06-networks, 07-volumes, 08-configs, 09-secrets, build, deploy, develop) and what docker compose 2.40
// accepts. Fields stand in the order of docker compose's structures, in which it writes JSON (hashed_json).
#include "apps/berth/compose/schema.h"

#include <iterator>

namespace berth::cli::compose {
namespace {

using Form = Shape::Form;
using Keys = Shape::Keys;
using Kinds = Shape::Kinds;
constexpr Field::Zero kept = Field::Zero::Kept;

// Scalars. Most also take a text, which variables become.
constexpr Shape text{.form = Form::String};
constexpr Shape text_or_null{.kinds = Kinds::Text | Kinds::Null, .form = Form::String};
constexpr Shape text_or_number{.kinds = Kinds::Text | Kinds::Number, .form = Form::String};
constexpr Shape scalar{.kinds = Kinds::Text | Kinds::Number | Kinds::Boolean | Kinds::Null,
                       .form = Form::String};
constexpr Shape number_or_text_or_null{.kinds = Kinds::Text | Kinds::Number | Kinds::Null,
                                       .form = Form::String};
constexpr Shape flag{.kinds = Kinds::Boolean | Kinds::Text, .form = Form::Boolean};
constexpr Shape strict_flag{.kinds = Kinds::Boolean, .form = Form::Boolean};
constexpr Shape text_or_flag{.kinds = Kinds::Boolean | Kinds::Text, .form = Form::String};
constexpr Shape integer{.kinds = Kinds::Integer | Kinds::Text, .form = Form::Integer};
constexpr Shape whole_number{.kinds = Kinds::Number | Kinds::Text, .form = Form::Integer};
constexpr Shape number{.kinds = Kinds::Number | Kinds::Text, .form = Form::Number};
constexpr Shape strict_integer{.kinds = Kinds::Integer, .form = Form::Integer};
constexpr Shape strict_number{.kinds = Kinds::Number, .form = Form::Integer};
constexpr Shape bytes{.kinds = Kinds::Number | Kinds::Text, .form = Form::Bytes};
constexpr Shape whole_bytes{.kinds = Kinds::Integer | Kinds::Text, .form = Form::Bytes};
constexpr Shape bytes_text{.form = Form::Bytes};
constexpr Shape duration{.form = Form::Duration};
constexpr Shape mode{.kinds = Kinds::Number | Kinds::Text, .form = Form::Mode};

// Lists and mappings of scalars.
constexpr Shape text_list{.kinds = Kinds::List, .element = &text};
constexpr Shape text_set{.kinds = Kinds::List, .element = &text, .unique = true};
constexpr Shape text_or_number_set{.kinds = Kinds::List, .element = &text_or_number, .unique = true};
constexpr Shape text_or_list{.kinds = Kinds::Text | Kinds::List, .form = Form::String, .element = &text};
constexpr Shape text_or_set{
    .kinds = Kinds::Text | Kinds::List, .form = Form::String, .element = &text, .unique = true};
constexpr Shape command{
    .kinds = Kinds::Text | Kinds::List | Kinds::Null, .form = Form::String, .element = &text};
constexpr Shape pairs{.kinds = Kinds::Map | Kinds::List,
                      .element = &text,
                      .unique = true,
                      .keys = Keys::Any,
                      .member = &scalar};
constexpr Shape text_map{.kinds = Kinds::Map, .keys = Keys::Any, .member = &text};
constexpr Shape driver_options{.kinds = Kinds::Map, .keys = Keys::Any, .member = &text_or_number};
constexpr Shape log_options{.kinds = Kinds::Map, .keys = Keys::Any, .member = &number_or_text_or_null};
constexpr Shape any_map{.kinds = Kinds::Map, .keys = Keys::Any};
constexpr Shape host_addresses{.kinds = Kinds::Text | Kinds::List, .form = Form::String, .element = &text};
constexpr Shape extra_hosts{.kinds = Kinds::Map | Kinds::List,
                            .element = &text,
                            .unique = true,
                            .keys = Keys::Any,
                            .member = &host_addresses};

// Parts of services.
constexpr Field grant_fields[] = {
    {"source", &text}, {"target", &text}, {"uid", &text}, {"gid", &text}, {"mode", &mode}};
constexpr Shape grant{.kinds = Kinds::Text | Kinds::Map, .form = Form::String, .fields = grant_fields};
constexpr Shape grants{.kinds = Kinds::List, .element = &grant};

constexpr Field ulimit_fields[] = {{"soft", &integer}, {"hard", &integer}};
constexpr Shape ulimit{
    .kinds = Kinds::Integer | Kinds::Text | Kinds::Map, .form = Form::Integer, .fields = ulimit_fields};
constexpr Shape ulimits{.kinds = Kinds::Map, .keys = Keys::Any, .member = &ulimit};

constexpr Field build_fields[] = {{"context", &text},
                                  {"dockerfile", &text},
                                  {"dockerfile_inline", &text},
                                  {"entitlements", &text_list},
                                  {"args", &pairs},
                                  {"provenance", &text_or_flag},
                                  {"sbom", &text_or_flag},
                                  {"ssh", &pairs},
                                  {"labels", &pairs},
                                  {"cache_from", &text_list},
                                  {"cache_to", &text_list},
                                  {"no_cache", &flag},
                                  {"additional_contexts", &pairs},
                                  {"pull", &flag},
                                  {"extra_hosts", &extra_hosts},
                                  {"isolation", &text},
                                  {"network", &text},
                                  {"target", &text},
                                  {"secrets", &grants},
                                  {"shm_size", &bytes},
                                  {"tags", &text_list},
                                  {"ulimits", &ulimits},
                                  {"platforms", &text_list},
                                  {"privileged", &flag}};
constexpr Shape build{.kinds = Kinds::Text | Kinds::Map, .form = Form::String, .fields = build_fields};

constexpr Field device_rate_fields[] = {{"path", &text, kept, "Path"}, {"rate", &bytes, kept, "Rate"}};
constexpr Shape device_rate{.kinds = Kinds::Map, .fields = device_rate_fields};
constexpr Shape device_rates{.kinds = Kinds::List, .element = &device_rate};
constexpr Field device_weight_fields[] = {{"path", &text, kept, "Path"},
                                          {"weight", &integer, kept, "Weight"}};
constexpr Shape device_weight{.kinds = Kinds::Map, .fields = device_weight_fields};
constexpr Shape device_weights{.kinds = Kinds::List, .element = &device_weight};
constexpr Field block_io_fields[] = {{"weight", &integer},
                                     {"weight_device", &device_weights},
                                     {"device_read_bps", &device_rates},
                                     {"device_read_iops", &device_rates},
                                     {"device_write_bps", &device_rates},
                                     {"device_write_iops", &device_rates}};
constexpr Shape block_io{.kinds = Kinds::Map, .fields = block_io_fields};

constexpr std::string_view cgroup_choices[] = {"host", "private"};
constexpr Shape cgroup{.form = Form::String, .choices = cgroup_choices};

constexpr Field credential_fields[] = {{"config", &text}, {"file", &text}, {"registry", &text}};
constexpr Shape credential_spec{.kinds = Kinds::Map, .fields = credential_fields};

constexpr std::string_view conditions[] = {"service_started", "service_healthy",
                                           "service_completed_successfully"};
constexpr Shape condition{.form = Form::String, .choices = conditions};
constexpr Field dependency_fields[] = {
    {"condition", &condition}, {"restart", &flag}, {"required", &strict_flag, kept}};
constexpr Shape dependency{.kinds = Kinds::Map, .fields = dependency_fields};
constexpr Shape depends_on{.kinds = Kinds::List | Kinds::Map,
                           .element = &text,
                           .unique = true,
                           .keys = Keys::Names,
                           .member = &dependency};

constexpr Field device_fields[] = {{"source", &text}, {"target", &text}, {"permissions", &text}};
constexpr Shape device{.kinds = Kinds::Text | Kinds::Map, .form = Form::String, .fields = device_fields};
constexpr Shape devices{.kinds = Kinds::List, .element = &device};

constexpr Shape device_count{.kinds = Kinds::Text | Kinds::Integer};
constexpr Field device_request_fields[] = {{"capabilities", &text_set},
                                           {"driver", &text},
                                           {"count", &device_count},
                                           {"device_ids", &text_set},
                                           {"options", &pairs}};
constexpr Shape device_request{.kinds = Kinds::Map, .fields = device_request_fields};
constexpr Shape device_requests{.kinds = Kinds::List, .element = &device_request};
constexpr std::string_view gpu_choices[] = {"all"};
constexpr Shape gpus{.kinds = Kinds::Text | Kinds::List, .choices = gpu_choices, .element = &device_request};

constexpr Field env_file_fields[] = {{"path", &text}, {"required", &flag, kept}, {"format", &text}};
constexpr Shape env_file{.kinds = Kinds::Text | Kinds::Map, .form = Form::String, .fields = env_file_fields};
constexpr Shape env_files{.kinds = Kinds::Text | Kinds::List, .form = Form::String, .element = &env_file};

constexpr Field extends_fields[] = {{"file", &text}, {"service", &text}};
constexpr Shape extends{.kinds = Kinds::Text | Kinds::Map, .form = Form::String, .fields = extends_fields};

constexpr Shape provider_value{.kinds = Kinds::Text | Kinds::Number | Kinds::Boolean};
constexpr Shape provider_option{.kinds = Kinds::Text | Kinds::Number | Kinds::Boolean | Kinds::List,
                                .element = &provider_value};
constexpr Shape provider_options{.kinds = Kinds::Map, .keys = Keys::Any, .member = &provider_option};
constexpr Field provider_fields[] = {{"type", &text}, {"options", &provider_options}};
constexpr Shape provider{.kinds = Kinds::Map, .fields = provider_fields};

constexpr Field health_fields[] = {{"test", &text_or_list},     {"timeout", &duration},
                                   {"interval", &duration},     {"retries", &whole_number, kept},
                                   {"start_period", &duration}, {"start_interval", &duration},
                                   {"disable", &flag}};
constexpr Shape health_check{.kinds = Kinds::Map, .fields = health_fields};

constexpr Field logging_fields[] = {{"driver", &text}, {"options", &log_options}};
constexpr Shape logging{.kinds = Kinds::Map, .fields = logging_fields};

constexpr Field model_use_fields[] = {{"endpoint_var", &text}, {"model_var", &text}};
constexpr Shape model_use{.kinds = Kinds::Map | Kinds::Null, .fields = model_use_fields};
constexpr Shape model_uses{.kinds = Kinds::List | Kinds::Map,
                           .element = &text,
                           .unique = true,
                           .keys = Keys::Names,
                           .member = &model_use};

constexpr Field endpoint_fields[] = {
    {"aliases", &text_set},        {"driver_opts", &driver_options}, {"gw_priority", &strict_number},
    {"interface_name", &text},     {"ipv4_address", &text},          {"ipv6_address", &text},
    {"link_local_ips", &text_set}, {"mac_address", &text},           {"priority", &strict_number}};
constexpr Shape endpoint{.kinds = Kinds::Map | Kinds::Null, .fields = endpoint_fields};
constexpr Shape endpoints{.kinds = Kinds::List | Kinds::Map,
                          .element = &text,
                          .unique = true,
                          .keys = Keys::Names,
                          .member = &endpoint};

constexpr Field port_fields[] = {{"name", &text},
                                 {"mode", &text},
                                 {"host_ip", &text},
                                 {"target", &integer},
                                 {"published", &text_or_number},
                                 {"protocol", &text},
                                 {"app_protocol", &text}};
constexpr Shape port{
    .kinds = Kinds::Number | Kinds::Text | Kinds::Map, .form = Form::String, .fields = port_fields};
constexpr Shape ports{.kinds = Kinds::List, .element = &port, .unique = true};

constexpr Field hook_fields[] = {{"command", &command},
                                 {"user", &text},
                                 {"privileged", &flag},
                                 {"working_dir", &text},
                                 {"environment", &pairs}};
constexpr Shape hook{.kinds = Kinds::Map, .fields = hook_fields};
constexpr Shape hooks{.kinds = Kinds::List, .element = &hook};

constexpr std::string_view recursions[] = {"enabled", "disabled", "writable", "readonly"};
constexpr Shape recursion{.form = Form::String, .choices = recursions};
constexpr std::string_view relabels[] = {"z", "Z"};
constexpr Shape relabel{.form = Form::String, .choices = relabels};
constexpr Field bind_fields[] = {
    {"selinux", &relabel}, {"propagation", &text}, {"create_host_path", &flag}, {"recursive", &recursion}};
constexpr Shape bind{.kinds = Kinds::Map, .fields = bind_fields};
constexpr Field volume_fields[] = {{"labels", &pairs}, {"nocopy", &flag}, {"subpath", &text}};
constexpr Shape volume_options{.kinds = Kinds::Map, .fields = volume_fields};
constexpr Shape tmpfs_mode{.kinds = Kinds::Number | Kinds::Text, .form = Form::DecimalMode};
constexpr Field tmpfs_fields[] = {{"size", &whole_bytes}, {"mode", &tmpfs_mode}};
constexpr Shape tmpfs{.kinds = Kinds::Map, .fields = tmpfs_fields};
constexpr Field image_fields[] = {{"subpath", &text}};
constexpr Shape image{.kinds = Kinds::Map, .fields = image_fields};
constexpr std::string_view mount_types[] = {"bind", "volume", "tmpfs", "cluster", "npipe", "image"};
constexpr Shape mount_type{.form = Form::String, .choices = mount_types};
constexpr Field mount_fields[] = {{"type", &mount_type},       {"source", &text},      {"target", &text},
                                  {"read_only", &flag},        {"consistency", &text}, {"bind", &bind},
                                  {"volume", &volume_options}, {"tmpfs", &tmpfs},      {"image", &image}};
constexpr Shape mount{.kinds = Kinds::Text | Kinds::Map, .form = Form::String, .fields = mount_fields};
constexpr Shape mounts{.kinds = Kinds::List, .element = &mount, .unique = true};

// develop, deploy.
constexpr std::string_view watch_actions[] = {"rebuild", "sync", "restart", "sync+restart", "sync+exec"};
constexpr Shape watch_action{.form = Form::String, .choices = watch_actions};
constexpr Field watch_fields[] = {{"path", &text, kept},
                                  {"action", &watch_action, kept},
                                  {"target", &text},
                                  {"exec", &hook},
                                  {"include", &text_or_set},
                                  {"ignore", &text_or_set},
                                  {"initial_sync", &strict_flag}};
constexpr Shape watch{.kinds = Kinds::Map, .fields = watch_fields};
constexpr Shape watches{.kinds = Kinds::List, .element = &watch};
constexpr Field develop_fields[] = {{"watch", &watches}};
constexpr Shape develop{.kinds = Kinds::Map | Kinds::Null, .fields = develop_fields};

constexpr std::string_view orders[] = {"start-first", "stop-first"};
constexpr Shape order{.form = Form::String, .choices = orders};
constexpr Field update_fields[] = {{"parallelism", &integer, kept}, {"delay", &duration},
                                   {"failure_action", &text},       {"monitor", &duration},
                                   {"max_failure_ratio", &number},  {"order", &order}};
constexpr Shape update{.kinds = Kinds::Map, .fields = update_fields};
constexpr Field limit_fields[] = {{"cpus", &number}, {"memory", &bytes_text}, {"pids", &integer}};
constexpr Shape limits{.kinds = Kinds::Map, .fields = limit_fields};
constexpr Field discrete_fields[] = {{"kind", &text, kept}, {"value", &whole_number, kept}};
constexpr Shape discrete{.kinds = Kinds::Map, .fields = discrete_fields};
constexpr Field generic_fields[] = {{"discrete_resource_spec", &discrete}};
constexpr Shape generic_resource{.kinds = Kinds::Map, .fields = generic_fields};
constexpr Shape generic_resources{.kinds = Kinds::List, .element = &generic_resource};
constexpr Field reservation_fields[] = {{"cpus", &number},
                                        {"memory", &bytes_text},
                                        {"devices", &device_requests},
                                        {"generic_resources", &generic_resources}};
constexpr Shape reservations{.kinds = Kinds::Map, .fields = reservation_fields};
constexpr Field resource_fields[] = {{"limits", &limits}, {"reservations", &reservations}};
constexpr Shape resources{.kinds = Kinds::Map, .fields = resource_fields};
constexpr Field restart_fields[] = {
    {"condition", &text}, {"delay", &duration}, {"max_attempts", &integer, kept}, {"window", &duration}};
constexpr Shape restart_policy{.kinds = Kinds::Map, .fields = restart_fields};
constexpr Field preference_fields[] = {{"spread", &text}};
constexpr Shape preference{.kinds = Kinds::Map, .fields = preference_fields};
constexpr Shape preferences{.kinds = Kinds::List, .element = &preference};
constexpr Field placement_fields[] = {
    {"constraints", &text_list}, {"preferences", &preferences}, {"max_replicas_per_node", &integer}};
constexpr Shape placement{.kinds = Kinds::Map, .fields = placement_fields};
constexpr Field deploy_fields[] = {{"mode", &text},
                                   {"replicas", &integer, kept},
                                   {"labels", &pairs},
                                   {"update_config", &update},
                                   {"rollback_config", &update},
                                   {"resources", &resources},
                                   {"restart_policy", &restart_policy},
                                   {"placement", &placement},
                                   {"endpoint_mode", &text}};
constexpr Shape deploy{.kinds = Kinds::Map | Kinds::Null, .fields = deploy_fields};

constexpr Field service_fields[] = {
    {"profiles", &text_set},
    {"annotations", &pairs},
    {"attach", &flag, kept},
    {"build", &build},
    {"develop", &develop},
    {"blkio_config", &block_io},
    {"cap_add", &text_set},
    {"cap_drop", &text_set},
    {"cgroup_parent", &text},
    {"cgroup", &cgroup},
    {"cpu_count", &integer},
    {"cpu_percent", &number},
    {"cpu_period", &whole_number},
    {"cpu_quota", &whole_number},
    {"cpu_rt_period", &whole_number},
    {"cpu_rt_runtime", &whole_number},
    {"cpus", &number},
    {"cpuset", &text},
    {"cpu_shares", &whole_number},
    {"command", &command},
    {"configs", &grants},
    {"container_name", &text},
    {"credential_spec", &credential_spec},
    {"depends_on", &depends_on},
    {"deploy", &deploy},
    {"device_cgroup_rules", &text_set},
    {"devices", &devices},
    {"dns", &text_or_set},
    {"dns_opt", &text_set},
    {"dns_search", &text_or_set},
    {"domainname", &text},
    {"entrypoint", &command},
    {"provider", &provider},
    {"environment", &pairs},
    {"env_file", &env_files},
    {"expose", &text_or_number_set},
    {"extends", &extends},
    {"external_links", &text_set},
    {"extra_hosts", &extra_hosts},
    {"group_add", &text_or_number_set},
    {"gpus", &gpus},
    {"hostname", &text},
    {"healthcheck", &health_check},
    {"image", &text},
    {"init", &flag, kept},
    {"ipc", &text},
    {"isolation", &text},
    {"labels", &pairs},
    {"label_file", &text_or_list},
    {"links", &text_set},
    {"logging", &logging},
    {"mem_limit", &bytes},
    {"mem_reservation", &bytes},
    {"memswap_limit", &bytes},
    {"mem_swappiness", &whole_bytes},
    {"mac_address", &text},
    {"models", &model_uses},
    {"network_mode", &text},
    {"networks", &endpoints},
    {"oom_kill_disable", &flag},
    {"oom_score_adj", &integer},
    {"pid", &text_or_null},
    {"pids_limit", &whole_number},
    {"platform", &text},
    {"ports", &ports},
    {"privileged", &flag},
    {"pull_policy", &text},
    {"read_only", &flag},
    {"restart", &text},
    {"runtime", &text},
    {"scale", &integer},
    {"secrets", &grants},
    {"security_opt", &text_set},
    {"shm_size", &bytes},
    {"stdin_open", &flag},
    {"stop_grace_period", &duration},
    {"stop_signal", &text},
    {"storage_opt", &any_map},
    {"sysctls", &pairs},
    {"tmpfs", &text_or_set},
    {"tty", &flag},
    {"ulimits", &ulimits},
    {"use_api_socket", &strict_flag},
    {"user", &text},
    {"userns_mode", &text},
    {"uts", &text},
    {"volumes", &mounts},
    {"volumes_from", &text_set},
    {"working_dir", &text},
    {"post_start", &hooks},
    {"pre_stop", &hooks},
    {"pull_refresh_after", &text},
};
constexpr Shape service{.kinds = Kinds::Map, .fields = service_fields};
constexpr Shape services{.kinds = Kinds::Map, .keys = Keys::Names, .member = &service};

// Beside the services.
constexpr Field include_fields[] = {
    {"path", &text_or_set}, {"env_file", &text_or_set}, {"project_directory", &text}};
constexpr Shape include{.kinds = Kinds::Text | Kinds::Map, .form = Form::String, .fields = include_fields};
constexpr Shape includes{.kinds = Kinds::List, .element = &include};

constexpr Field external_fields[] = {{"name", &text}};
constexpr Shape external{
    .kinds = Kinds::Boolean | Kinds::Text | Kinds::Map, .form = Form::Boolean, .fields = external_fields};

constexpr Field pool_fields[] = {
    {"subnet", &text}, {"gateway", &text}, {"ip_range", &text}, {"aux_addresses", &text_map}};
constexpr Shape pool{.kinds = Kinds::Map, .fields = pool_fields};
constexpr Shape pools{.kinds = Kinds::List, .element = &pool};
constexpr Field address_fields[] = {{"driver", &text}, {"config", &pools}, {"options", &text_map}};
constexpr Shape addresses{.kinds = Kinds::Map, .fields = address_fields};
constexpr Field network_fields[] = {{"name", &text},
                                    {"driver", &text},
                                    {"driver_opts", &driver_options},
                                    {"ipam", &addresses},
                                    {"external", &external},
                                    {"internal", &flag},
                                    {"attachable", &flag},
                                    {"labels", &pairs},
                                    {"enable_ipv4", &flag, kept},
                                    {"enable_ipv6", &flag, kept}};
constexpr Shape network{.kinds = Kinds::Map | Kinds::Null, .fields = network_fields};
constexpr Shape networks{.kinds = Kinds::Map, .keys = Keys::Names, .member = &network};

constexpr Field named_volume_fields[] = {{"name", &text},
                                         {"driver", &text},
                                         {"driver_opts", &driver_options},
                                         {"external", &external},
                                         {"labels", &pairs}};
constexpr Shape named_volume{.kinds = Kinds::Map | Kinds::Null, .fields = named_volume_fields};
constexpr Shape named_volumes{.kinds = Kinds::Map, .keys = Keys::Names, .member = &named_volume};

constexpr Field secret_fields[] = {
    {"name", &text},    {"file", &text},   {"environment", &text},           {"external", &external},
    {"labels", &pairs}, {"driver", &text}, {"driver_opts", &driver_options}, {"template_driver", &text}};
constexpr Shape secret{.kinds = Kinds::Map, .fields = secret_fields};
constexpr Shape secrets{.kinds = Kinds::Map, .keys = Keys::Names, .member = &secret};

constexpr Field config_fields[] = {{"name", &text},           {"file", &text},         {"environment", &text},
                                   {"content", &text},        {"external", &external}, {"labels", &pairs},
                                   {"template_driver", &text}};
constexpr Shape config{.kinds = Kinds::Map, .fields = config_fields};
constexpr Shape configs{.kinds = Kinds::Map, .keys = Keys::Names, .member = &config};

constexpr Field model_fields[] = {
    {"name", &text}, {"model", &text}, {"context_size", &strict_integer}, {"runtime_flags", &text_list}};
constexpr Shape model{.kinds = Kinds::Map, .fields = model_fields};
constexpr Shape models{.kinds = Kinds::Map, .keys = Keys::Names, .member = &model};

constexpr Field file_fields[] = {
    {"version", &text},      {"name", &text},         {"include", &includes},
    {"services", &services}, {"networks", &networks}, {"volumes", &named_volumes},
    {"secrets", &secrets},   {"configs", &configs},   {"models", &models}};

}  // namespace

constexpr Shape file_shape{.kinds = Kinds::Map, .fields = file_fields};
constexpr Shape service_shape = service;
constexpr Shape network_shape = network;
constexpr Shape volume_shape = named_volume;

}  // namespace berth::cli::compose
