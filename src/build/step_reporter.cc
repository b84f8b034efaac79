// Ordering of progress events.
#include "build/step_reporter.h"

#include "base/sha256.h"

namespace berth::build {

StepReporter::StepReporter(const BuildPlan& plan, ProgressSink& sink)
    : plan_(plan), sink_(sink), progress_(plan.steps.size()) {}

void StepReporter::begin() {
  advance();
}

uint32_t StepReporter::triggers_after(size_t index) const {
  const auto& steps = plan_.steps;
  if (steps[index].onbuild) return 0;
  size_t next = index + 1;
  while (next < steps.size() && steps[next].onbuild && steps[next].stage == steps[index].stage) ++next;
  return static_cast<uint32_t>(next - index - 1);
}

void StepReporter::announce(size_t index) {
  if (progress_[index].announced) return;
  progress_[index].announced = true;
  const PlannedStep& step = plan_.steps[index];
  sink_.report(StepStarted{.step = step.number,
                           .total = static_cast<uint32_t>(plan_.steps.size()),
                           .stage = step.stage,
                           .instruction = step.instruction,
                           .lines = step.lines,
                           .onbuild = step.onbuild,
                           .triggers = triggers_after(index)});
  for (auto& event : progress_[index].waiting) sink_.report(event);
  progress_[index].waiting.clear();
}

/// Steps end in order: those that change the configuration alone at once, others when their vertex is done.
/// The very last one waits for the image.
void StepReporter::advance() {
  while (current_ < plan_.steps.size()) {
    announce(current_);
    const PlannedStep& step = plan_.steps[current_];
    if (step.vertex && !done_.contains(*step.vertex)) return;
    if (current_ + 1 == plan_.steps.size()) return;
    complete(current_, id_of(current_));
    ++current_;
  }
}

std::string StepReporter::id_of(size_t index) {
  const PlannedStep& step = plan_.steps[index];
  if (step.stage.empty()) return {};  // an ARG before the first FROM
  if (images_ != nullptr) {
    if (const auto image = images_->complete(index)) {
      if (image->was_cached) sink_.report(StepCached{step.number});
      if (!image->was_cached && step.image) tell_passed(step, step.image->config);
      return last_id_ = image->id;
    }
  }
  if (step.vertex) {
    const Vertex& vertex = plan_.graph.at(*step.vertex);
    if (const auto* image = std::get_if<ImageOp>(&vertex.op)) return last_id_ = image->image.hex();
  }
  return last_id_ = sha256(last_id_ + "\n" + step.stage + "\n" + step.instruction).hex();
}

void StepReporter::tell_passed(const PlannedStep& step, const spec::ImageConfig& config) {
  const bool is_from = step.image && (step.image->existing || step.image->same_as != 0);
  if (keeper_ == nullptr || images_ == nullptr || step.vertex || is_from) return;
  keeper_->passed(config, images_->below(step.number));
}

void StepReporter::complete(size_t index, std::string id) {
  const PlannedStep& step = plan_.steps[index];
  StepCompleted event{.step = step.number, .id = std::move(id)};
  if (step.vertex) event.duration = done_[*step.vertex];
  sink_.report(event);
}

void StepReporter::end(const Digest& image, bool is_known) {
  if (plan_.steps.empty()) return;
  const PlannedStep& last = plan_.steps.back();
  if (is_known && !last.vertex) sink_.report(StepCached{last.number});
  if (!is_known) tell_passed(last, plan_.config);
  complete(plan_.steps.size() - 1, image.hex());
}

void StepReporter::tell(uint32_t step, ProgressEvent event) {
  if (step == 0 || step > progress_.size()) return sink_.report(event);
  Progress& progress = progress_[step - 1];
  if (progress.announced) return sink_.report(event);
  progress.waiting.push_back(std::move(event));
}

void StepReporter::started(VertexId id) {
  started_.emplace(id, std::chrono::steady_clock::now());
}

void StepReporter::cached(VertexId id) {
  const uint32_t step = plan_.graph.at(id).step;
  if (step != 0) tell(step, StepCached{step});
}

void StepReporter::completed(VertexId id) {
  const auto begun = started_.find(id);
  done_[id] = begun == started_.end() ? std::chrono::nanoseconds(0)
                                      : std::chrono::steady_clock::now() - begun->second;
  advance();
}

void StepReporter::failed(VertexId id, const Error&) {
  const uint32_t number = plan_.graph.at(id).step;
  for (size_t index = 0; index < plan_.steps.size(); ++index) {
    const PlannedStep& step = plan_.steps[index];
    if (step.number != number && step.vertex != id) continue;
    failed_ = &step;
    return announce(index);
  }
}

void StepReporter::running(uint32_t step, const std::string& container_id) {
  tell(step, StepRunning{step, container_id});
}

void StepReporter::output(uint32_t step, OutputStream stream, std::string_view bytes) {
  tell(step, StepLog{step, stream, std::string(bytes)});
}

void StepReporter::transferred(uint32_t step, const std::string& what, uint64_t current, uint64_t total) {
  tell(step, StepTransfer{step, what, current, total});
}

}  // namespace berth::build
