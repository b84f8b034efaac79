// Hooks that are run by another process than the one that knows them.
#include <cstdio>
#include <string>
#include <vector>

#include "base/format.h"
#include "base/json.h"
#include "launch/hooks.h"
#include "spec/object_reader.h"
#include "sys/file.h"

namespace berth::launch {
namespace {

constexpr size_t kMaxDocument = size_t{8} << 20;

Result<spec::Hook> parse_hook(const Json& object) {
  spec::Hook hook;
  spec::ObjectReader reader(object, "a hook");
  reader.read("path", hook.path);
  reader.read("args", hook.args);
  reader.read("env", hook.env);
  reader.read("timeout", hook.timeout);
  CHECK(std::move(reader).finish());
  return hook;
}

Result<HookStage> parse_stage(const Json& object) {
  HookStage stage;
  spec::ObjectReader reader(object, "a stage");
  reader.read("what", stage.place.what);
  reader.read("directory", stage.place.directory);
  reader.read("container", stage.place.container);
  reader.read_list("hooks", stage.hooks, parse_hook);
  CHECK(std::move(reader).finish());
  return stage;
}

Result<void> run_document(const std::string& path) {
  TRY(std::string text, sys::read_file(path, kMaxDocument));
  TRY(Json document, parse_json(text));
  std::vector<HookStage> stages;
  std::string state;
  spec::ObjectReader reader(document, "hooks");
  reader.read("state", state);
  reader.read_list("stages", stages, parse_stage);
  CHECK(std::move(reader).finish());
  for (const HookStage& stage : stages) CHECK(run_hooks(stage.hooks, stage.place, state));
  return {};
}

}  // namespace

Json hook_list(const std::vector<spec::Hook>& hooks) {
  Json list = Json::array();
  for (const spec::Hook& hook : hooks) {
    Json object = {{"path", hook.path}, {"args", hook.args}};
    if (hook.env) object["env"] = *hook.env;
    if (hook.timeout) object["timeout"] = *hook.timeout;
    list.push_back(std::move(object));
  }
  return list;
}

std::string encode_hooks(const std::vector<HookStage>& stages, const std::string& state) {
  Json list = Json::array();
  for (const HookStage& stage : stages) {
    list.push_back({{"what", stage.place.what},
                    {"directory", stage.place.directory},
                    {"container", stage.place.container},
                    {"hooks", hook_list(stage.hooks)}});
  }
  return to_json(Json{{"state", state}, {"stages", std::move(list)}});
}

int run_hook_document(const std::string& path) {
  auto done = run_document(path);
  if (done) return 0;
  fmt::print(stderr, "{}\n", done.error().message());
  return 1;
}

}  // namespace berth::launch
