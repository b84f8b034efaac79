// What a build is given: its context and its Dockerfile, and what checks say of that.
#include "base/format.h"
#include "build/build_job.h"
#include "build/request_values.h"

namespace berth::build {
namespace {

constexpr size_t max_dockerfile_bytes = 8u << 20;

}  // namespace

io::Task<Result<void>> BuildJob::load() {
  if (auto* remote = std::get_if<RemoteContext>(&request_.context)) {
    remote->keep_git_directory = keeps_git_directory(request_);
    remote->agent = git_agent(request_.agents);
  }
  auto loading = load_context(services_.shared.loop, std::move(request_.context), scratch_,
                              services_.shared.limits, progress_, cancel_);
  CO_TRY(auto context, co_await std::move(loading));
  auto read = [this, &context] { return read_dockerfile(context); };
  CO_CHECK(co_await services_.shared.loop.on_worker(std::move(read)));
  if (dockerfile_text_.empty()) {
    co_return failure(Kind::InvalidArgument, "the Dockerfile ({}) cannot be empty", dockerfile_name_);
  }
  auto parse = [this] { return spec::parse_dockerfile(dockerfile_text_); };
  auto parsed = co_await services_.shared.loop.on_worker(std::move(parse));
  if (!parsed)
    co_return located(Error(Kind::InvalidArgument, parsed.error().message), parsed.error().lines, "");
  dockerfile_ = std::move(*parsed);
  if (const auto warning = syntax_warning(dockerfile_->syntax)) {
    progress_.report(BuildWarning{*warning, {1, 1}});
  }
  co_return Result<void>();
}

/// The Dockerfile is read before its ignore file is applied: it is found although it may be excluded from
/// copies.
Result<void> BuildJob::read_dockerfile(LoadedContext& context) {
  context_ = context.tree;
  if (request_.dockerfile_text) {
    dockerfile_text_ = std::move(*request_.dockerfile_text);
  } else if (context.dockerfile) {
    dockerfile_text_ = std::move(*context.dockerfile);
  } else if (!context_) {
    return Error(Kind::InvalidArgument, "neither a build context nor a Dockerfile was given");
  } else {
    auto text = context_->read_text(dockerfile_name_, max_dockerfile_bytes);
    if (!text && text.error().kind() == Kind::NotFound && dockerfile_name_ == "Dockerfile") {
      dockerfile_name_ = "dockerfile";
      text = context_->read_text(dockerfile_name_, max_dockerfile_bytes);
      if (!text) dockerfile_name_ = "Dockerfile";
    }
    if (!text && text.error().kind() == Kind::NotFound) {
      return failure(Kind::InvalidArgument, "Cannot locate specified Dockerfile: {}", dockerfile_name_);
    }
    if (!text) return std::move(text).error().in("reading", dockerfile_name_);
    dockerfile_text_ = std::move(*text);
  }
  if (!context_) return {};
  for (const auto& candidate : spec::ignore_file_candidates(dockerfile_name_)) {
    auto text = context_->read_text(candidate, max_dockerfile_bytes);
    if (!text && text.error().kind() == Kind::NotFound) continue;
    if (!text) return std::move(text).error().in("reading", candidate);
    TRY(const auto patterns, spec::parse_ignore_file(*text));
    auto set = spec::PatternSet::create(patterns);
    if (!set) return std::move(set).error().in("error checking context", candidate);
    context_->apply_ignore(*set);
    break;
  }
  return {};
}

/// What the plan says, and what checks find: both before anything is run.
Result<void> BuildJob::warn() {
  for (size_t i = 0; i < plan_->warnings.size(); ++i) {
    const auto& [lines, text] = plan_->warnings[i];
    // Those of the parser come first.
    progress_.report(BuildWarning{text, lines, nullptr, i < dockerfile_->warnings.size()});
  }
  spec::CheckInput input{.text = dockerfile_text_,
                         .file = *dockerfile_,
                         .build_args = request_.build_args,
                         .platform = options_.platform,
                         .target = request_.target,
                         .stages = spec::CheckInput::Stages::Needed};
  const auto given = request_.build_args.find("BUILDKIT_DOCKERFILE_CHECK");
  const bool is_given = given != request_.build_args.end() && given->second;
  TRY(input.config, spec::CheckConfig::parse(is_given ? *given->second : dockerfile_->check));
  input.environment = [this](const std::string& image) -> std::optional<std::vector<std::string>> {
    for (const auto& [name, facts] : images_) {
      if (name.reference == image) return facts.config->config.env;
    }
    return std::nullopt;
  };
  const auto found = spec::check_dockerfile(input);
  for (const auto& finding : found)
    progress_.report(BuildWarning{spec::warning_text(finding), finding.lines, finding.rule});
  return spec::checks_as_error(input.config, found);
}

}  // namespace berth::build
