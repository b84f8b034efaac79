// Times, ids and parents of step images.
#include "build/step_images.h"

#include "base/sha256.h"

namespace berth::build {

namespace {

std::optional<Timestamp> no_time(uint32_t) {
  return std::nullopt;
}

/// As the store completes it, which the id depends on.
void complete_platform(spec::ImageConfig& config) {
  if (config.platform.os.empty()) config.platform = spec::Platform::host();
}

}  // namespace

StepImages::StepImages(const BuildPlan& plan, ResultOf result, storage::ImageStore& images, Options options)
    : plan_(plan), result_(std::move(result)), images_(images), options_(std::move(options)) {}

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

/// The last step's is the build's own.
const spec::ImageConfig& StepImages::config_of(const PlannedStep& step) const {
  return step.number == plan_.steps.size() ? plan_.config : step.image->config;
}

bool StepImages::has_image_of(VertexId vertex, const RootState& remembered) {
  const uint32_t number = plan_.graph.at(vertex).step;
  if (number == 0 || number > plan_.steps.size()) return true;
  const PlannedStep& step = plan_.steps[number - 1];
  // A part of a step is as good as the step.
  if (!step.image || step.vertex != vertex) return true;
  if (options_.reusable == nullptr || !read_layers(remembered.chain_id)) return false;
  const ImageContents contents{config_of(step), step.image->history, layers_};
  const auto result = [&](VertexId id) -> const RootState& {
    return id == vertex ? remembered : result_(id);
  };
  spec::ImageConfig config = image_config(contents, result, std::nullopt, no_time);
  complete_platform(config);
  return options_.reusable->find(config).has_value();
}

/// A layer is as old as its step. What changes the configuration alone is as old as when it was first made.
std::pair<Timestamp, bool> StepImages::time_of(const PlannedStep& step, const RootState& root,
                                               const ImageContents& contents) {
  if (step.vertex && root.made_layer) return {root.created, root.was_cached};
  if (options_.epoch) return {*options_.epoch, false};
  if (options_.reusable == nullptr) return {now(), false};
  spec::ImageConfig config = image_config(contents, result_, std::nullopt, no_time);
  complete_platform(config);
  const auto found = options_.reusable->find(config);
  return {found.value_or(now()), found.has_value()};
}

Result<StepImages::Made> StepImages::make(const PlannedStep& step) {
  const RootState& root = result_(step.image->rootfs);
  CHECK(read_layers(root.chain_id));
  const ImageContents contents{config_of(step), step.image->history, layers_};
  const auto time = time_of(step, root, contents);
  times_[step.number] = time.first;
  const auto time_of_step = [this](uint32_t number) -> std::optional<Timestamp> {
    const auto found = times_.find(number);
    return found == times_.end() ? std::nullopt : std::optional(found->second);
  };
  storage::NewImage image{.config = image_config(contents, result_, time.first, time_of_step),
                          .chain_id = root.chain_id,
                          .parent = below(step.number)};
  complete_platform(image.config);
  if (options_.reusable != nullptr) options_.reusable->add(image.config);
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
  auto made = make(step);
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
  TRY(auto made, make(last));
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
