#include "build/reusable_images.h"

#include <algorithm>

namespace berth::build {
namespace {

bool is_same_step(const spec::HistoryEntry& a, const spec::HistoryEntry& b) {
  return a.created_by == b.created_by && a.empty_layer == b.empty_layer;
}

std::string text_without_times(spec::ImageConfig config) {
  config.created.reset();
  for (auto& entry : config.history) entry.created.reset();
  return spec::serialise(config);
}

}  // namespace

ReusableImages::ReusableImages(std::vector<storage::Image> given) {
  for (auto& image : given) configs_.push_back(std::move(image.config));
}

std::optional<Timestamp> ReusableImages::find(const spec::ImageConfig& config) {
  if (config.history.empty()) return std::nullopt;
  return store_ == nullptr ? find_given(config) : find_here(config);
}

void ReusableImages::add(const spec::ImageConfig& config) {
  if (store_ != nullptr) configs_.push_back(std::make_shared<const spec::ImageConfig>(config));
}

std::optional<Timestamp> ReusableImages::find_given(const spec::ImageConfig& config) const {
  for (const auto& given : configs_) {
    const auto& theirs = given->history;
    const auto& layers = given->diff_ids;
    if (config.history.size() > theirs.size() || config.diff_ids.size() > layers.size()) continue;
    if (!std::equal(config.history.begin(), config.history.end(), theirs.begin(), is_same_step)) continue;
    if (!std::equal(config.diff_ids.begin(), config.diff_ids.end(), layers.begin())) continue;
    if (const auto& created = theirs[config.history.size() - 1].created) return created;
  }
  return std::nullopt;
}

std::optional<Timestamp> ReusableImages::find_here(const spec::ImageConfig& config) {
  if (!std::exchange(is_read_, true)) {
    auto images = store_->list(true);
    if (!images) return std::nullopt;
    for (auto& image : *images) configs_.push_back(std::move(image.config));
  }
  const std::string wanted = text_without_times(config);
  for (const auto& here : configs_) {
    if (here->diff_ids != config.diff_ids || !here->created) continue;
    if (!std::equal(config.history.begin(), config.history.end(), here->history.begin(), here->history.end(),
                    is_same_step))
      continue;
    if (text_without_times(*here) == wanted) return here->created;
  }
  return std::nullopt;
}

}  // namespace berth::build
