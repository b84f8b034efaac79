// Runtime bases: the images that zips run on. They are ordinary images of the engine, named
// berth/lambda-<runtime>, made from the distribution's packages or pulled from AWS's registry when a
// function first needs one, or made by `berth bootstrap lambda-<runtime>`; users replace them by tagging an
// image of their own with that name. What a base must have: /var/task, /opt, /var/runtime and /tmp as
// folders and as its entrypoint the runtime's client, which finds the handler in _HANDLER; AWS's own
// entrypoint gets it as its argument, too. A base without entrypoint runs the zip's (or a layer's)
// `bootstrap`.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/event_loop.h"
#include "io/sync.h"
#include "io/task.h"
#include "io/task_group.h"

namespace berth::engine {
class Engine;
}

namespace berth::functions {

struct RuntimeBase {
  std::string image;     ///< "berth/lambda-python3.11"
  std::string image_id;  ///< "sha256:..."
  std::vector<std::string> entry_point;
  /// What really answers to the name, for people: "Python 3.11 of Debian 12"; empty when users made it.
  std::string description;
};

/// Where bases come from when they are not here.
struct BaseSource {
  /// What is tried first. The other is tried when it comes to nothing.
  enum class First {
    Made,   ///< from the distribution's packages, where there is a recipe
    Pulled  ///< AWS's own, from `registry`
  } first = First::Made;
  /// Where AWS's bases or copies of them are: "public.ecr.aws/lambda" has "public.ecr.aws/lambda/ruby:3.3".
  /// Empty: none are pulled.
  std::string registry = "public.ecr.aws/lambda";
};

/// What a function of the runtime can expect of its base.
struct BaseStatus {
  enum class State {
    Ready,   ///< its image is here
    Making,  ///< on its way
    Failed,  ///< it could neither be made nor pulled; `reason` is why
    Absent   ///< nobody has asked for it yet, or its image was removed
  } state = State::Ready;
  std::string reason = {};
};

class RuntimeBases {
 public:
  RuntimeBases(io::EventLoop& loop, engine::Engine& engine, BaseSource source);

  /// Runtimes that functions may name: AWS's identifiers, those it has deprecated included.
  static bool is_known(std::string_view runtime);
  /// The base if its image is here.
  Result<RuntimeBase> find(std::string_view runtime) const;
  /// The base, made or pulled when it is not here; callers at the same time share the work, which goes on
  /// when they stop waiting. Takes some ten seconds. Unavailable says what stood in the way.
  io::Task<Result<RuntimeBase>> ensure(std::string runtime);
  BaseStatus status(std::string_view runtime) const;
  /// Cheap, for every event: whether status() may say Making.
  bool is_making(std::string_view runtime) const { return making_.contains(runtime); }
  /// As ensure(), for those who do not wait: status() tells how it goes.
  void begin(const std::string& runtime);

 private:
  struct Making {
    io::Event done;
    Result<void> result;
  };
  io::Task<void> make(std::string runtime, std::shared_ptr<Making> making);
  std::shared_ptr<Making> making(const std::string& runtime);
  io::Task<Result<void>> bring(std::string runtime);
  io::Task<Result<void>> make_here(std::string runtime);
  io::Task<Result<void>> pull(std::string runtime);
  std::optional<std::string> made_alike(std::string_view runtime) const;

  io::EventLoop& loop_;
  engine::Engine& engine_;
  BaseSource source_;
  std::map<std::string, std::shared_ptr<Making>, std::less<>> making_;
  std::map<std::string, std::string, std::less<>> failed_;  ///< why the last attempt came to nothing
  std::map<std::string, io::Mutex, std::less<>> families_;  ///< of each, one is made at a time
  io::TaskGroup tasks_;
};

}  // namespace berth::functions
