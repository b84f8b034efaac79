// ExtensionSet: the extensions of one sandbox as the Extensions API (2020-01-01) knows them: who has to
// register, who has, who waits for an event and who works on one. Pure state; function_sandbox serves the
// calls.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace berth::functions {

constexpr size_t kMaxExtensions = 10;

struct Extension {
  enum class State {
    Launched,    ///< an external one that has not registered
    Registered,  ///< ... has, or an internal one
    Ready,       ///< waits in /event/next
    Working,     ///< has an event, or one lies ready for it
    Ended,
  };
  std::string name;
  std::string id;  ///< Lambda-Extension-Identifier; empty until registered
  bool external = false;
  bool wants_invoke = false;
  bool wants_shutdown = false;
  State state = State::Launched;
  std::deque<std::string> events;  ///< documents that it has not fetched
};

class ExtensionSet {
 public:
  struct Answer {
    int status = 200;
    std::string body;
    std::string id;  ///< of a registration
  };

  /// External ones that will be started; their names are their files'.
  void expect(std::vector<std::string> names);
  bool empty() const { return extensions_.empty(); }
  const std::vector<Extension>& all() const { return extensions_; }

  /// POST /extension/register. `description` answers a success.
  Answer enroll(std::string_view name, std::string_view body, std::string description, std::string new_id);
  /// No registration from here on.
  void close_registration() { closed_ = true; }
  Extension* find(std::string_view id);
  Extension* find_external(std::string_view name);

  /// All have registered and wait for an event (init is complete as far as they go).
  bool all_ready() const;
  bool any_working() const;
  bool any_external() const;
  /// An event for those that want it; the document lies ready in each.
  void post_invoke(const std::string& document);
  void post_shutdown(const std::string& document);

 private:
  std::vector<Extension> extensions_;
  bool closed_ = false;
};

}  // namespace berth::functions
