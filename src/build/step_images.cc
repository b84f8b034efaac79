// Times, ids and parents of step images.
#include "build/step_images.h"

#include <algorithm>

#include "base/sha256.h"

namespace berth::build {

std::set<Digest> CacheImages::chains() const {
  std::set<Digest> all;
  for (const auto& image : images) {
    for (auto& chain : spec::chain_ids(image.config->diff_ids)) all.insert(std::move(chain));
  }
  return all;
}

std::optional<Timestamp> CacheImages::find(const spec::ImageConfig& config) const {
  const auto same_text = [](const spec::HistoryEntry& a, const spec::HistoryEntry& b) {
    return a.created_by == b.created_by && a.empty_layer == b.empty_layer;
  };
  for (const auto& image : images) {
    const auto& theirs = image.config->history;
    const auto& layers = image.config->diff_ids;
    if (config.history.empty() || config.history.size() > theirs.size()) continue;
    if (config.diff_ids.size() > layers.size()) continue;
    if (!std::equal(config.history.begin(), config.history.end(), theirs.begin(), same_text)) continue;
    if (!std::equal(config.diff_ids.begin(), config.diff_ids.end(), layers.begin())) continue;
    if (const auto& created = theirs[config.history.size() - 1].created) return created;
  }
  return std::nullopt;
}

StepImages::StepImages(const BuildPlan& plan, ResultOf result, storage::ImageStore& images, Cache& cache,
                       Options options)
    : plan_(plan), result_(std::move(result)), images_(images), cache_(cache), options_(std::move(options)) {}

bool StepImages::is_from(const PlannedStep& step) {
  return step.image->existing || step.image->same_as != 0;
}

std::optional<Digest> StepImages::existing_id(const PlannedStep& step) const {
  if (step.image->existing) return step.image->existing;
  const auto found = ids_.find(step.image->same_as);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Digest> StepImages::below(uint32_t step) const {
  if (step == 0 || step > plan_.steps.size()) return std::nullopt;
  const auto& image = plan_.steps[step - 1].image;
  if (!image) return std::nullopt;
  const auto found = ids_.find(image->previous);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

Result<void> StepImages::read_layers(const std::optional<Digest>& chain_id) {
  if (layers_of_ == chain_id) return {};
  layers_.clear();
  if (chain_id) {
    TRY(const auto chain, images_.snapshotter().chain(*chain_id));
    for (auto layer = chain.rbegin(); layer != chain.rend(); ++layer) layers_.push_back(layer->diff_id);
  }
  layers_of_ = chain_id;
  return {};
}

/// A layer is as old as its step. What changes the configuration alone is as old as when it was first made.
Result<std::pair<Timestamp, bool>> StepImages::time_of(const PlannedStep& step, const RootState& root,
                                                       const ImageContents& contents) {
  using Time = std::pair<Timestamp, bool>;
  if (step.vertex && root.made_layer) return Time(root.created, root.was_cached);
  if (options_.epoch) return Time(*options_.epoch, false);
  const Digest likeness = image_likeness(contents, result_);
  if (options_.use_cache && options_.cache_from) {
    const auto no_time = [](uint32_t) { return std::optional<Timestamp>(); };
    const auto found = options_.cache_from->find(image_config(contents, result_, std::nullopt, no_time));
    if (found) return Time(*found, true);
  } else if (options_.use_cache) {
    TRY(const auto found, cache_.find(likeness));
    if (found) return Time(found->created, true);
  }
  const StepRecord record{.key = likeness,
                          .chain_id = root.chain_id,
                          .created = now(),
                          .description = step.instruction.substr(0, 120)};
  CHECK(cache_.store(record));
  return Time(record.created, false);
}

Result<StepImages::Made> StepImages::make(const PlannedStep& step, const spec::ImageConfig& config) {
  const RootState& root = result_(step.image->rootfs);
  CHECK(read_layers(root.chain_id));
  const ImageContents contents{config, step.image->history, layers_};
  TRY(const auto time, time_of(step, root, contents));
  times_[step.number] = time.first;
  const auto time_of_step = [this](uint32_t number) -> std::optional<Timestamp> {
    const auto found = times_.find(number);
    return found == times_.end() ? std::nullopt : std::optional(found->second);
  };
  storage::NewImage image{.config = image_config(contents, result_, time.first, time_of_step),
                          .chain_id = root.chain_id,
                          .parent = below(step.number)};
  // As the store completes it, which the id depends on.
  if (image.config.platform.os.empty()) image.config.platform = spec::Platform::host();
  Digest id = sha256(spec::serialise(image.config));
  return Made{std::move(id), std::move(image), time.second};
}

std::optional<StepImages::Outcome> StepImages::complete(size_t index) {
  const PlannedStep& step = plan_.steps[index];
  if (!step.image || error_) return std::nullopt;
  if (is_from(step)) {
    const auto id = existing_id(step);
    if (!id) return std::nullopt;
    ids_.insert_or_assign(step.number, *id);
    return Outcome{id->hex()};
  }
  auto made = make(step, step.image->config);
  if (!made) {
    error_ = std::move(made).error();
    return std::nullopt;
  }
  ids_.insert_or_assign(step.number, made->id);
  pending_.push_back(std::move(made->image));
  return Outcome{made->id.hex(), made->was_cached && !step.vertex};
}

Result<std::optional<StepImages::Final>> StepImages::finish() {
  using Outcome = std::optional<Final>;
  if (error_) return *error_;
  if (plan_.steps.empty() || !plan_.steps.back().image) return Outcome();
  const PlannedStep& last = plan_.steps.back();
  // FROM alone is that image, unless something is added to it.
  if (is_from(last)) {
    const auto id = existing_id(last);
    return id && !options_.has_labels ? Outcome(Final{.id = *id}) : Outcome();
  }
  TRY(auto made, make(last, plan_.config));
  return Outcome(Final{std::move(made.id), std::move(made.image), made.was_cached});
}

void StepImages::complete_rest(const std::function<bool(VertexId)>& is_done) {
  for (size_t index = 0; index < plan_.steps.size(); ++index) {
    const PlannedStep& step = plan_.steps[index];
    if (!step.image || ids_.contains(step.number)) continue;
    const bool stands = step.image->previous == 0 || ids_.contains(step.image->previous);
    if (is_from(step) || (stands && is_done(step.image->rootfs))) (void)complete(index);
  }
}

Result<std::vector<storage::NewImage>> StepImages::take() {
  if (error_) return *error_;
  return std::exchange(pending_, {});
}

}  // namespace berth::build
