// Registrations and events of extensions.
#include "functions/sandbox/extension_set.h"

#include <algorithm>

#include "base/format.h"
#include "base/json.h"
#include "functions/sandbox/runtime_protocol.h"

namespace berth::functions {
namespace {

constexpr size_t kMaxName = 128;

ExtensionSet::Answer refuse(int status, std::string_view type, std::string_view message) {
  return {status, api_error(type, message), {}};
}

}  // namespace

void ExtensionSet::expect(std::vector<std::string> names) {
  for (std::string& name : names) {
    extensions_.push_back({.name = std::move(name), .external = true});
  }
}

Extension* ExtensionSet::find(std::string_view id) {
  auto found = std::find_if(extensions_.begin(), extensions_.end(),
                            [&](const Extension& each) { return !id.empty() && each.id == id; });
  return found == extensions_.end() ? nullptr : &*found;
}

Extension* ExtensionSet::find_external(std::string_view name) {
  auto found = std::find_if(extensions_.begin(), extensions_.end(),
                            [&](const Extension& each) { return each.external && each.name == name; });
  return found == extensions_.end() ? nullptr : &*found;
}

ExtensionSet::Answer ExtensionSet::enroll(std::string_view name, std::string_view body,
                                          std::string description, std::string new_id) {
  if (name.empty() || name.size() > kMaxName) {
    return refuse(400, "Extension.InvalidExtensionName", "Empty extension name");
  }
  if (closed_) {
    return refuse(403, "Extension.RegistrationClosed", "Extension registration closed already");
  }
  auto document = parse_json(body.empty() ? "{}" : body, {.max_bytes = 64 << 10, .max_depth = 8});
  if (!document) return refuse(400, "InvalidRequestFormat", "Request body is not a valid JSON document");
  auto events = json_strings(*document, "events");
  if (!events) return refuse(400, "InvalidRequestFormat", events.error().message());
  Extension* extension = find_external(name);
  bool external = extension != nullptr;
  bool invoke = false, shutdown = false;
  for (const std::string& event : *events) {
    bool known = event == "INVOKE" || (event == "SHUTDOWN" && external);
    if (!known) {
      std::string_view why =
          event == "SHUTDOWN" ? "ShutdownEventNotSupportedForInternalExtension" : "InvalidEventType";
      return refuse(400, "Extension.InvalidEventType", fmt::format("{}: {}", event, why));
    }
    invoke |= event == "INVOKE";
    shutdown |= event == "SHUTDOWN";
  }
  auto taken = [&](const Extension& each) { return each.name == name && !each.id.empty(); };
  if (std::any_of(extensions_.begin(), extensions_.end(), taken)) {
    return refuse(403, "Extension.AlreadyRegistered",
                  fmt::format("Extension with name {} is registered", name));
  }
  if (!external) {
    if (extensions_.size() >= kMaxExtensions) {
      return refuse(403, "Extension.TooManyExtensions", "Extension limit (10) reached");
    }
    extension = &extensions_.emplace_back();
    extension->name = name;
  }
  extension->id = std::move(new_id);
  extension->wants_invoke = invoke;
  extension->wants_shutdown = shutdown;
  extension->state = Extension::State::Registered;
  return {200, std::move(description), extension->id};
}

bool ExtensionSet::all_ready() const {
  return std::all_of(extensions_.begin(), extensions_.end(), [](const Extension& each) {
    return each.state == Extension::State::Ready || each.state == Extension::State::Ended;
  });
}

bool ExtensionSet::any_working() const {
  return std::any_of(extensions_.begin(), extensions_.end(),
                     [](const Extension& each) { return each.state == Extension::State::Working; });
}

bool ExtensionSet::any_external() const {
  return std::any_of(extensions_.begin(), extensions_.end(), [](const Extension& each) {
    return each.external && each.state != Extension::State::Ended;
  });
}

void ExtensionSet::post_invoke(const std::string& document) {
  for (Extension& each : extensions_) {
    if (!each.wants_invoke || each.state == Extension::State::Ended) continue;
    each.events.push_back(document);
    each.state = Extension::State::Working;
  }
}

void ExtensionSet::post_shutdown(const std::string& document) {
  for (Extension& each : extensions_) {
    if (!each.wants_shutdown || each.state == Extension::State::Ended) continue;
    each.events.push_back(document);
    each.state = Extension::State::Working;
  }
}

}  // namespace berth::functions
