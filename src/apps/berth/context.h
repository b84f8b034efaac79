// Context: what every command gets: the streams, the user's settings and the engine.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "apps/berth/client/client.h"
#include "apps/berth/configuration.h"
#include "apps/berth/failure.h"
#include "apps/berth/grammar/command.h"
#include "apps/berth/output/stream.h"

namespace berth::cli {

/// What the global flags said.
struct GlobalOptions {
  std::string host;           ///< -H; empty: $BERTH_HOST, then berth's own socket
  std::string context;        ///< --context; empty: $BERTH_CONTEXT, then what `context use` chose
  std::string config_folder;  ///< --config
  /// What --tls, --tlsverify and the files' flags said; nothing: $BERTH_TLS_VERIFY, $DOCKER_TLS_VERIFY
  /// decide.
  std::optional<client::TlsFiles> tls = {};
  std::string tls_ca, tls_certificate, tls_key;
  bool debug = false;
};

class Context {
 public:
  Context(GlobalOptions options, grammar::Tree tree);

  output::Stream out{1};
  output::Stream err{2};

  const GlobalOptions& options() const { return options_; }
  grammar::Tree tree() const { return tree_; }
  /// The engine's client; connects with the first request.
  client::Client& engine();
  /// One more client of the same engine, for another thread. Call it on the main thread once before.
  std::unique_ptr<client::Client> another_client();
  const client::Endpoint& endpoint() const { return endpoint_; }
  /// The context that the endpoint comes from; "default" when -H or $BERTH_HOST named the engine, or nothing
  /// did.
  const std::string& context_name() const { return context_name_; }
  /// Set when -H or BERTH_HOST is malformed; every request fails with it.
  const std::optional<Error>& endpoint_error() const { return endpoint_error_; }
  /// The user's config.json, read when first asked for.
  const Configuration& configuration();
  Configuration& mutable_configuration();

  /// "WARNING: <text>" on stderr.
  void warn(std::string_view text);
  /// Prints a failure as its origin demands; nothing for Silent.
  void report(const Failure& failure);

 private:
  Outcome<client::Connection> connect();
  Result<client::Endpoint> choose_endpoint();

  GlobalOptions options_;
  grammar::Tree tree_;
  client::Endpoint endpoint_;
  std::string context_name_{"default"};
  std::optional<Error> endpoint_error_;
  bool may_start_daemon_ = false;
  std::unique_ptr<client::Client> engine_;
  std::optional<Configuration> configuration_;
};

/// Errors of one argument among several are printed as they come, and the exit code at the end is 1.
class Tally {
 public:
  explicit Tally(Context& context) : context_(context) {}
  /// True when `outcome` is a value; else reports it.
  template <class T>
  bool accept(const Outcome<T>& outcome) {
    if (outcome) return true;
    context_.out.flush();
    context_.report(outcome.error());
    exit_code_ = outcome.error().exit_code;
    return false;
  }
  int exit_code() const { return exit_code_; }

 private:
  Context& context_;
  int exit_code_ = 0;
};

}  // namespace berth::cli
