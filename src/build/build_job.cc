// The course of a build.
#include "build/build_job.h"

#include <algorithm>
#include <set>
#include <thread>

#include "base/format.h"
#include "base/id.h"
#include "base/log.h"
#include "build/image_result.h"
#include "build/op_executor.h"
#include "build/request_values.h"
#include "build/squash.h"
#include "build/step_images.h"
#include "build/step_reporter.h"
#include "spec/cache_manifest.h"
#include "spec/dockerfile_lexer.h"
#include "spec/go_quote.h"

namespace berth::build {
namespace {

/// Those of the image's own stage, with the place of their layer in it.
std::vector<spec::BuildCacheRecord> inline_records(const std::vector<SharedStep>& steps,
                                                   const std::vector<Digest>& diff_ids) {
  const std::vector<Digest> chains = spec::chain_ids(diff_ids);
  std::vector<spec::BuildCacheRecord> records;
  for (const SharedStep& step : steps) {
    if (!step.of_target) continue;
    spec::BuildCacheRecord record = shared_record(step.record);
    if (step.record.chain_id) {
      const auto place = std::find(chains.begin(), chains.end(), *step.record.chain_id);
      if (place == chains.end()) continue;
      record.layer = static_cast<size_t>(place - chains.begin());
    }
    records.push_back(std::move(record));
  }
  return records;
}

/// Under which it came from a registry, if it did.
std::optional<Digest> digest_of(const storage::Image& image) {
  for (const std::string& name : image.repo_digests) {
    const auto reference = spec::Reference::parse(name);
    if (reference && reference->digest()) return *reference->digest();
  }
  return std::nullopt;
}

std::string shortened(std::string_view instruction) {
  constexpr size_t longest = 120;
  std::string line(instruction.substr(0, longest));
  std::replace(line.begin(), line.end(), '\n', ' ');
  return instruction.size() > longest ? line + "..." : line;
}

}  // namespace

spec::BuildCacheRecord shared_record(const StepRecord& step) {
  return {.key = step.key,
          .made_layer = step.made_layer,
          .created = step.created,
          .description = step.description,
          .size = step.size};
}

/// What stands while the graph is evaluated, and is looked at for the result.
struct BuildJob::Solved {
  BuildSession session;
  StepReporter reporter;
  OpExecutor executor;
  Solver solver;
  std::optional<StepImages> images = {};

  Solved(BuildJob& job, BuildSession made, std::vector<std::string> descriptions)
      : session(std::move(made)),
        reporter(*job.plan_, job.progress_),
        executor(session),
        solver(job.plan_->graph, executor, job.services_.cache, reporter,
               {.max_parallel = std::max(2u, std::thread::hardware_concurrency()),
                .descriptions = std::move(descriptions),
                .elsewhere = job.request_.cache_source.get(),
                .may_use = job.may_use()}) {
    session.log = &reporter;
  }

  const RootState& root(VertexId id) const { return std::get<RootState>(solver.result(id)); }
};

BuildJob::BuildJob(BuildJobServices services, BuildRequest request, ProgressSink& progress,
                   io::CancelToken cancel)
    : services_(services),
      request_(std::move(request)),
      progress_(progress),
      cancel_(std::move(cancel)),
      scratch_(services.shared.data_root + "/tmp/build/" + random_hex(12)),
      lease_(services.shared.images.lease()) {}

BuildJob::~BuildJob() = default;

Error BuildJob::located(Error error, spec::LineRange lines, std::string instruction) {
  failed_lines_ = lines;
  failed_message_ = error.message();
  if (lines.first == 0) return error;
  const std::string where = fmt::format("{}:{}{}{}", dockerfile_name_, lines.first,
                                        instruction.empty() ? "" : ": ", shortened(instruction));
  return std::move(error).in(where);
}

Result<void> BuildJob::check_request() {
  TRY(tags_, parse_tags(request_.tags));
  options_.platform = spec::Platform::host();
  if (!request_.platform.empty()) {
    TRY(options_.platform, spec::Platform::parse(request_.platform));
  }
  TRY(auto network, parse_network(request_.network_mode));
  options_.network = network.mode;
  network_name_ = std::move(network.name);
  CHECK(source_date_epoch(request_));
  options_.build_args = request_.build_args;
  options_.labels = request_.labels;
  options_.target = request_.target;
  options_.extra_hosts = request_.extra_hosts;
  options_.caching = request_.cache == CacheUse::Ignore ? Caching::Ignore : Caching::Normal;
  options_.step_images = request_.step_images;
  dockerfile_name_ = request_.dockerfile;
  return {};
}

io::Task<Result<BuildResult>> BuildJob::run() {
  auto result = co_await build();
  if (result) co_return result;
  if (failed_message_.empty()) failed_message_ = result.error().message();
  BuildFailed event{.message = failed_message_, .exit_code = exit_code_};
  if (failed_lines_.first != 0) {
    event.file = dockerfile_name_;
    event.lines = failed_lines_;
    event.excerpt = spec::source_excerpt(dockerfile_name_, dockerfile_text_, failed_lines_);
  }
  progress_.report(event);
  co_return result;
}

io::Task<Result<BuildResult>> BuildJob::build() {
  CO_CHECK(check_request());
  CO_CHECK(sys::make_dirs(scratch_, 0700));
  CO_CHECK(co_await load());
  CO_CHECK(co_await make_plan());
  CO_CHECK(warn());
  auto solved = co_await solve();
  if (!solved) {
    co_await leave_steps();
    co_return std::move(solved).error();
  }
  auto made = co_await make_image();
  if (made && request_.squash) {
    io::Task<Result<Digest>> squashing = squash(*made);
    made = co_await std::move(squashing);
  }
  co_await leave_steps();
  if (!made) co_return std::move(made).error();
  const Digest id = *made;
  BuildResult result{.image_id = id, .steps = shared_steps()};
  progress_.report(ImageBuilt{id});
  for (const auto& tag : tags_) {
    result.tags.push_back(tag.familiar_string());
    progress_.report(ImageTagged{tag.familiar_string()});
  }
  co_return result;
}

io::Task<Result<void>> BuildJob::make_plan() {
  // Images may have ONBUILD triggers that name further images; each round knows more.
  constexpr int most_rounds = 10;
  for (int round = 0; round < most_rounds; ++round) {
    auto plan = [this] { return plan_build(*dockerfile_, options_, images_); };
    auto outcome = co_await services_.shared.loop.on_worker(std::move(plan));
    if (!outcome)
      co_return located(Error(Kind::InvalidArgument, outcome.error().message), outcome.error().lines, "");
    if (auto* made = std::get_if<BuildPlan>(&*outcome)) {
      plan_ = std::move(*made);
      co_return Result<void>();
    }
    CO_CHECK(co_await resolve_images(std::move(std::get<std::vector<MissingImage>>(*outcome))));
  }
  co_return Error(Kind::InvalidArgument, "ONBUILD triggers of base images name ever more images");
}

/// The classic builder goes through all stages up to the target, the first one first.
void BuildJob::tell_awaited(const std::vector<MissingImage>& missing) {
  const auto& stages = dockerfile_->stages;
  const bool first = std::any_of(missing.begin(), missing.end(), [&](const MissingImage& image) {
    return !image.by_from_flag && image.lines.first == stages.front().lines.first;
  });
  if (!options_.step_images || !first) return;
  const auto& arguments = dockerfile_->global_arguments;
  size_t total = arguments.size();
  for (size_t i = 0; i < stages.size(); ++i) {
    total += 1 + stages[i].instructions.size();
    const bool named = !options_.target.empty() && spec::dockerfile::lower(stages[i].from.name) ==
                                                       spec::dockerfile::lower(options_.target);
    if (named || options_.target == std::to_string(i)) break;
  }
  uint32_t step = 0;
  const auto tell = [&](const std::string& instruction) {
    progress_.report(
        StepAwaited{.step = ++step, .total = static_cast<uint32_t>(total), .instruction = instruction});
  };
  for (const auto& argument : arguments) tell(argument.source);
  tell(stages.front().source);
}

io::Task<Result<void>> BuildJob::resolve_images(std::vector<MissingImage> missing) {
  tell_awaited(missing);
  for (const auto& wanted : missing) {
    CO_TRY(const auto platform, spec::Platform::parse(wanted.name.platform));
    auto named = request_.contexts.find(wanted.name.reference);
    const std::string& reference = named == request_.contexts.end() ? wanted.name.reference : named->second;
    ImageSource::Request request{reference, request_.pull, platform, request_.registry_config};
    auto resolving = services_.shared.image_source.resolve(std::move(request), progress_, cancel_);
    auto image = co_await std::move(resolving);
    if (!image && wanted.by_from_flag)
      image = std::move(image).error().in("invalid from flag value", wanted.name.reference);
    if (!image) co_return located(std::move(image).error(), wanted.lines, "");
    lease_.add_image(image->id);
    if (image->chain_id) lease_.add_chain(*image->chain_id);
    if (!spec::matches(platform, image->config->platform)) {
      progress_.report(BuildWarning{fmt::format("the image {} is for {}, not for {}", wanted.name.reference,
                                                image->config->platform.str(), platform.str()),
                                    wanted.lines});
    }
    progress_.report(ImageResolved{.reference = reference,
                                   .platform = image->config->platform.str(),
                                   .id = image->id,
                                   .digest = digest_of(*image)});
    images_.emplace(wanted.name, ImageFacts{image->id, image->chain_id, image->config});
  }
  co_return Result<void>();
}

io::Task<Result<void>> BuildJob::solve() {
  const BuilderServices& shared = services_.shared;
  std::vector<std::string> descriptions(plan_->graph.size());
  std::vector<VertexId> targets = {plan_->target};
  for (const auto& step : plan_->steps) {
    if (!step.vertex) continue;
    descriptions[*step.vertex] = shortened(step.instruction);
    // Steps of needed stages are executed even when nothing of them is copied in the end, as their order
    // shows.
    targets.push_back(*step.vertex);
  }
  find_reusable_images();
  BuildSession session{.loop = shared.loop,
                       .images = shared.images,
                       .cache = services_.cache,
                       .mounts = services_.mounts,
                       .runner = shared.runner,
                       .log = nullptr,  // the reporter, once it stands beside the session
                       .limits = shared.limits,
                       .lease = std::move(lease_),
                       .scratch = scratch_,
                       .downloads = shared.data_root + "/build/downloads",
                       .context = context_,
                       .network = network_name_,
                       .shm_size = request_.shm_size,
                       .resources = request_.resources,
                       .secrets = request_.secrets,
                       .agents = request_.agents,
                       .keeper = request_.step_keeper,
                       .names_sources = request_.step_images};
  solved_ = std::make_unique<Solved>(*this, std::move(session), std::move(descriptions));
  CO_CHECK(use_step_images());
  solved_->reporter.begin();
  auto solving = solved_->solver.solve(std::move(targets), cancel_);
  auto done = co_await std::move(solving);
  exit_code_ = solved_->session.exit_code;
  if (done) co_return done;
  const PlannedStep* failed = solved_->reporter.failed_step();
  if (failed == nullptr) co_return done;
  co_return located(std::move(done).error(), failed->lines, failed->instruction);
}

/// The time of an image that looks the same but for its times: building it again from the cache gives the
/// same id.
io::Task<Result<Timestamp>> BuildJob::creation_time(Digest likeness) {
  CO_TRY(const auto epoch, source_date_epoch(request_));
  if (epoch) co_return *epoch;
  if (request_.cache == CacheUse::Normal) {
    CO_TRY(auto found, services_.cache.find(likeness));
    if (!found && request_.cache_source) {
      io::Task<std::optional<StepRecord>> asking = request_.cache_source->find(std::move(likeness), cancel_);
      found = co_await std::move(asking);
    }
    if (found) co_return found->created;
  }
  co_return now();
}

std::vector<SharedStep> BuildJob::shared_steps() const {
  std::set<VertexId> of_target;
  for (std::optional<VertexId> at = plan_->target; at; at = plan_->graph.at(*at).base) of_target.insert(*at);
  std::vector<SharedStep> steps;
  for (const auto& step : plan_->steps) {
    if (!step.vertex || !solved_->solver.is_done(*step.vertex)) continue;
    const auto* root = std::get_if<RootState>(&solved_->solver.result(*step.vertex));
    if (root == nullptr || !root->key) continue;
    steps.push_back({.record = {.key = *root->key,
                                .chain_id = root->chain_id,
                                .made_layer = root->made_layer,
                                .created = root->created,
                                .description = shortened(step.instruction),
                                .size = root->size},
                     .of_target = of_target.contains(*step.vertex)});
  }
  if (image_record_) steps.push_back({.record = *image_record_, .of_target = true});
  return steps;
}

/// docker takes nothing from an image that is not here, and says nothing.
void BuildJob::find_reusable_images() {
  if (!request_.step_images || request_.cache == CacheUse::Ignore) return;
  if (!request_.cache_from) {
    reusable_.emplace(services_.shared.images);
    return;
  }
  std::vector<storage::Image> given;
  for (const auto& reference : *request_.cache_from) {
    auto image = services_.shared.images.resolve(reference);
    if (!image) continue;
    lease_.add_image(image->id);
    if (image->chain_id) lease_.add_chain(*image->chain_id);
    given.push_back(std::move(*image));
  }
  reusable_.emplace(std::move(given));
}

/// With images of steps: only what an image is here of.
std::function<bool(VertexId, const RootState&)> BuildJob::may_use() {
  if (!request_.step_images) return {};
  return [this](VertexId id, const RootState& remembered) {
    return solved_ && solved_->images && solved_->images->has_image_of(id, remembered);
  };
}

Result<void> BuildJob::use_step_images() {
  if (!request_.step_images) return {};
  TRY(const auto epoch, source_date_epoch(request_));
  Solved* solved = solved_.get();
  solved->images.emplace(
      *plan_, [solved](VertexId id) -> const RootState& { return solved->root(id); }, services_.shared.images,
      StepImages::Options{.reusable = reusable_ ? &*reusable_ : nullptr,
                          .epoch = epoch,
                          .has_labels = !request_.labels.empty()});
  solved->reporter.use_images(&*solved->images);
  solved->reporter.use_keeper(request_.step_keeper.get());
  solved->session.image_below = [solved](uint32_t step) { return solved->images->below(step); };
  return {};
}

/// Images of the steps that are done, and then what stands on them.
io::Task<void> BuildJob::leave_steps() {
  if (!solved_ || !solved_->images) co_return;
  Solved& solved = *solved_;
  solved.images->complete_rest([&solved](VertexId id) { return solved.solver.is_done(id); });
  auto& images = services_.shared.images;
  auto write = [&solved, &images]() -> Result<void> {
    TRY(const auto pending, solved.images->take());
    for (const auto& image : pending) CHECK(images.create(image));
    return {};
  };
  auto written = co_await services_.shared.loop.on_worker(std::move(write));
  if (!written) log::warn("images of build steps: {}", written.error().message());
  for (auto& left : solved.session.left) {
    left.kept.image = solved.images->below(left.step);
    if (written && left.kept.image) {
      io::Task<Result<void>> keeping = solved.session.keeper->keep(std::move(left.kept));
      auto kept = co_await std::move(keeping);
      if (!kept) log::warn("container of a build step: {}", kept.error().message());
    }
    (void)images.snapshotter().discard(left.work);
  }
  solved.session.left.clear();
}

std::vector<Digest> BuildJob::layers_of(const std::vector<storage::Layer>& chain) {
  std::vector<Digest> layers;
  for (auto layer = chain.rbegin(); layer != chain.rend(); ++layer) layers.push_back(layer->diff_id);
  return layers;
}

io::Task<Result<Digest>> BuildJob::make_image() {
  const bool is_nothing = plan_->history.empty() && plan_->config.history.empty() &&
                          request_.labels.empty() && !solved_->root(plan_->target).chain_id;
  if (solved_->images && is_nothing)
    co_return Error(Kind::InvalidArgument, "No image was generated. Is your Dockerfile empty?");
  if (solved_->images && !wants_inline_cache(request_)) {
    CO_TRY(auto last, solved_->images->finish());
    if (last) co_return co_await write_last(std::move(*last));
  }
  auto& images = services_.shared.images;
  const RootState& root = solved_->root(plan_->target);
  std::vector<Digest> layers;
  if (root.chain_id) {
    CO_TRY(const auto chain, images.snapshotter().chain(*root.chain_id));
    layers = layers_of(chain);
  }
  const auto result = [this](VertexId id) -> const RootState& { return solved_->root(id); };
  const ImageContents contents{plan_->config, plan_->history, layers};
  const Digest likeness = image_likeness(contents, result);
  io::Task<Result<Timestamp>> dating = creation_time(likeness);
  CO_TRY(const auto created, co_await std::move(dating));
  image_record_ =
      StepRecord{.key = likeness, .chain_id = root.chain_id, .created = created, .description = "image"};
  const auto time = [created](uint32_t) { return std::optional(created); };
  storage::NewImage image{
      .config = image_config(contents, result, created, time), .chain_id = root.chain_id, .tags = own_tags()};
  auto job = [this, &images, &image]() -> Result<Digest> {
    if (!wants_inline_cache(request_)) return images.create(image);
    spec::BuildCache cache{.records = inline_records(shared_steps(), image.config.diff_ids)};
    TRY(std::string config, spec::with_inline_cache(spec::serialise(image.config), cache));
    return images.receive({.config_bytes = std::move(config), .names = image.tags});
  };
  CO_TRY(auto id, co_await services_.shared.loop.on_worker(std::move(job)));
  CO_CHECK(services_.cache.store(*image_record_));
  solved_->reporter.end(id);
  co_return id;
}

/// Those of the image that the steps lead to: none where another one is made of it.
std::vector<spec::Reference> BuildJob::own_tags() const {
  return request_.squash ? std::vector<spec::Reference>() : tags_;
}

/// The base is what the target's stage begins with.
io::Task<Result<Digest>> BuildJob::squash(Digest image) {
  VertexId bottom = plan_->target;
  while (plan_->graph.at(bottom).base) bottom = *plan_->graph.at(bottom).base;
  SquashBase base{.chain_id = solved_->root(bottom).chain_id, .history = plan_->config.history.size()};
  for (const auto& [name, facts] : images_) {
    if (base.chain_id && facts.chain_id == base.chain_id) base.image = facts.id;
  }
  auto& images = services_.shared.images;
  auto job = [&](std::stop_token stop) {
    return squash_image(images, image, base, now(), tags_, std::move(stop));
  };
  co_return co_await services_.shared.loop.on_worker(job);
}

/// The image that the steps' images lead to.
io::Task<Result<Digest>> BuildJob::write_last(StepImages::Final last) {
  auto& images = services_.shared.images;
  auto job = [this, &images, &last]() -> Result<Digest> {
    TRY(const auto steps, solved_->images->take());
    for (const auto& step : steps) CHECK(images.create(step));
    if (last.image) {
      last.image->tags = own_tags();
      return images.create(*last.image);
    }
    for (const auto& tag : own_tags()) CHECK(images.tag(last.id, tag));
    return last.id;
  };
  CO_TRY(auto id, co_await services_.shared.loop.on_worker(std::move(job)));
  solved_->reporter.end(id, last.was_cached);
  co_return id;
}

}  // namespace berth::build
