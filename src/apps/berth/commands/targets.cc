// One request per container.
#include "apps/berth/commands/targets.h"

namespace berth::cli::commands {
namespace {

constexpr size_t at_once = 50;

Outcome<client::Reply> finish(Outcome<client::Pending>& pending) {
  if (!pending) return pending.error();
  CHECK(pending->wait());
  return client::Reply{pending->head(), std::move(pending->body())};
}

}  // namespace

Outcome<void> check_name(std::string_view name) {
  if (name.empty()) return refuse("invalid container name or ID: value is empty");
  return {};
}

std::vector<Outcome<client::Reply>> request_each(Context& context, const std::vector<std::string>& names,
                                                 const MakeRequest& make) {
  std::vector<Outcome<client::Reply>> replies;
  auto& engine = context.engine();
  if (names.size() == 1) {
    auto valid = check_name(names[0]);
    replies.push_back(valid ? engine.call(make(names[0])) : Outcome<client::Reply>(valid.error()));
    return replies;
  }
  // The parallel requests cannot be repeated in an older version: settle it first.
  if (auto settled = engine.negotiate(); !settled) {
    replies.assign(names.size(), settled.error());
    return replies;
  }
  for (size_t first = 0; first < names.size(); first += at_once) {
    std::vector<Outcome<client::Pending>> pending;
    size_t last = std::min(first + at_once, names.size());
    for (size_t i = first; i < last; ++i) {
      auto valid = check_name(names[i]);
      pending.push_back(valid ? engine.begin(make(names[i])) : Outcome<client::Pending>(valid.error()));
    }
    for (auto& one : pending) replies.push_back(finish(one));
  }
  return replies;
}

Outcome<int> perform_each(Context& context, const std::vector<std::string>& names, const MakeRequest& make) {
  Tally tally(context);
  auto replies = request_each(context, names, make);
  for (size_t i = 0; i < names.size(); ++i) {
    if (tally.accept(replies[i])) context.out.line(names[i]);
  }
  return tally.exit_code();
}

}  // namespace berth::cli::commands
