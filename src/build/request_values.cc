// What values of a request mean.
#include "build/request_values.h"

#include <algorithm>

#include "base/format.h"
#include "spec/go_quote.h"

namespace berth::build {

Result<NetworkChoice> parse_network(const std::string& mode) {
  if (mode.empty() || mode == "default" || mode == "bridge") return NetworkChoice{};
  if (mode == "none") return NetworkChoice{StepNetwork::None};
  if (mode == "host") return NetworkChoice{StepNetwork::Host};
  if (mode == "container:")
    return Error(Kind::InvalidArgument, "network mode \"container:\" names no container");
  return NetworkChoice{StepNetwork::Bridge, mode};
}

std::optional<std::string> syntax_warning(const std::string& syntax) {
  const std::string_view name = std::string_view(syntax).substr(0, syntax.find_first_of(":@"));
  const bool is_ours = name.empty() || name == "dockerfile.v0" || name.ends_with("docker/dockerfile") ||
                       name.ends_with("docker/dockerfile-upstream");
  if (is_ours) return std::nullopt;
  return fmt::format("the front end {} is not used: Dockerfiles are built by berth's own", syntax);
}

Result<std::vector<spec::Reference>> parse_tags(const std::vector<std::string>& texts) {
  std::vector<spec::Reference> tags;
  for (const auto& text : texts) {
    auto reference = spec::Reference::parse(text);
    if (!reference)
      return failure(Kind::InvalidArgument, "invalid tag {}: {}", spec::go_quote(text),
                     reference.error().message());
    if (reference->digest())
      return failure(Kind::InvalidArgument, "invalid tag {}: build tag cannot contain a digest",
                     spec::go_quote(text));
    spec::Reference tag = reference->with_default_tag();
    if (std::find(tags.begin(), tags.end(), tag) == tags.end()) tags.push_back(std::move(tag));
  }
  return tags;
}

Result<std::optional<Timestamp>> source_date_epoch(const BuildRequest& request) {
  using Time = std::optional<Timestamp>;
  const auto found = request.build_args.find("SOURCE_DATE_EPOCH");
  if (found == request.build_args.end() || !found->second || found->second->empty()) return Time();
  const std::string& text = *found->second;
  if (text.size() > 10 || text.find_first_not_of("0123456789") != std::string::npos) {
    return failure(Kind::InvalidArgument, "invalid SOURCE_DATE_EPOCH {}: seconds since 1970 are expected",
                   spec::go_quote(text));
  }
  return Time(from_unix_nanoseconds(std::stoll(text) * 1'000'000'000));
}

namespace {

bool is_set(const BuildRequest& request, const char* argument) {
  const auto found = request.build_args.find(argument);
  return found != request.build_args.end() && found->second &&
         (*found->second == "1" || *found->second == "true");
}

}  // namespace

bool wants_inline_cache(const BuildRequest& request) {
  return request.inline_cache || is_set(request, "BUILDKIT_INLINE_CACHE");
}

bool keeps_git_directory(const BuildRequest& request) {
  return is_set(request, "BUILDKIT_CONTEXT_KEEP_GIT_DIR");
}

std::string git_agent(const std::map<std::string, std::string>& agents) {
  const auto found = agents.find("default");
  return found == agents.end() ? std::string() : found->second;
}

}  // namespace berth::build
