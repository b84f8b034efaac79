// From profile to filter program. Code is emitted backwards, from the last instruction to the first, so that
// every jump's target exists when the jump is made (the filter language only jumps forward).
#include "launch/seccomp_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "base/format.h"
#include "launch/seccomp_calls.h"

namespace berth::launch {
namespace {

constexpr uint32_t kOffsetNumber = 0, kOffsetArchitecture = 4, kOffsetArguments = 16;

/// Arguments that the kernel declares as int or unsigned int: bit n for argument n.
constexpr std::pair<std::string_view, uint8_t> kNarrowArguments[] = {
    {"socket", 0b111}, {"socketpair", 0b111}, {"personality", 0b1},  {"ioctl", 0b11},
    {"fcntl", 0b11},   {"prctl", 0b1},        {"setsockopt", 0b111}, {"getsockopt", 0b111},
    {"setns", 0b11},   {"kcmp", 0b111},       {"keyctl", 0b1},       {"bpf", 0b101},
    {"ptrace", 0},     {"seccomp", 0b11},     {"shmctl", 0b11},      {"semctl", 0b111}};

Result<uint32_t> action_value(std::string_view name, std::optional<uint32_t> error) {
  uint32_t data = error.value_or(EPERM) & SECCOMP_RET_DATA;
  if (name == "SCMP_ACT_ALLOW") return SECCOMP_RET_ALLOW;
  if (name == "SCMP_ACT_ERRNO") return SECCOMP_RET_ERRNO | data;
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SECCOMP_RET_KILL_THREAD;
  if (name == "SCMP_ACT_KILL_PROCESS") return SECCOMP_RET_KILL_PROCESS;
  if (name == "SCMP_ACT_TRAP") return SECCOMP_RET_TRAP;
  if (name == "SCMP_ACT_TRACE") return SECCOMP_RET_TRACE | data;
  if (name == "SCMP_ACT_LOG") return SECCOMP_RET_LOG;
  if (name == "SCMP_ACT_NOTIFY") return SECCOMP_RET_USER_NOTIF;
  return failure(Kind::InvalidArgument, "seccomp: unknown action \"{}\"", name);
}

bool is_permissive(uint32_t action) {
  return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
}

enum class Compare { Equal, Greater, GreaterOrEqual };

/// One condition on one argument. `negated`: the jump's outcome the other way round.
struct Condition {
  uint32_t index = 0;
  Compare compare = Compare::Equal;
  bool negated = false;
  uint64_t mask = ~uint64_t{0};
  uint64_t value = 0;
  bool narrow = false;
  auto operator<=>(const Condition&) const = default;
};

/// All conditions hold: the action.
struct Rule {
  std::vector<Condition> conditions;
  uint32_t action = 0;
  auto operator<=>(const Rule&) const = default;
};

/// What is decided for one system call: rules in order, then the last word.
struct Decision {
  std::vector<Rule> rules;
  uint32_t otherwise = 0;
  auto operator<=>(const Decision&) const = default;
};

Result<Condition> make_condition(const spec::SeccompArg& argument, std::string_view call) {
  if (argument.index > 5)
    return failure(Kind::InvalidArgument, "seccomp: {}: argument index {} is out of range", call,
                   argument.index);
  Condition condition{.index = argument.index, .value = argument.value};
  const std::string& op = argument.op;
  if (op == "SCMP_CMP_EQ" || op == "SCMP_CMP_NE") {
    condition.negated = op == "SCMP_CMP_NE";
  } else if (op == "SCMP_CMP_GT" || op == "SCMP_CMP_LE") {
    condition.compare = Compare::Greater;
    condition.negated = op == "SCMP_CMP_LE";
  } else if (op == "SCMP_CMP_GE" || op == "SCMP_CMP_LT") {
    condition.compare = Compare::GreaterOrEqual;
    condition.negated = op == "SCMP_CMP_LT";
  } else if (op == "SCMP_CMP_MASKED_EQ") {
    condition.mask = argument.value;
    condition.value = argument.value_two;
  } else {
    return failure(Kind::InvalidArgument, "seccomp: {}: unknown operator \"{}\"", call, op);
  }
  for (const auto& [name, bits] : kNarrowArguments)
    if (name == call) condition.narrow = (bits >> condition.index & 1) != 0;
  return condition;
}

/// A rule's conditions are joined by "and"; several on the same argument mean "or", as runc reads profiles.
Result<std::vector<Rule>> make_rules(const spec::SeccompRule& source, std::string_view call,
                                     uint32_t action) {
  std::vector<Condition> conditions;
  std::set<uint32_t> indices;
  for (const auto& argument : source.args) {
    TRY(auto condition, make_condition(argument, call));
    indices.insert(condition.index);
    conditions.push_back(condition);
  }
  if (indices.size() == conditions.size()) return std::vector{Rule{std::move(conditions), action}};
  std::vector<Rule> rules;
  for (const auto& condition : conditions) rules.push_back(Rule{{condition}, action});
  return rules;
}

/// Emits backwards; a label is a distance from the end.
class Emitter {
 public:
  using Label = size_t;

  Label ret(uint32_t action) {
    // One close enough to be jumped to will do.
    auto found = returns_.find(action);
    if (found != returns_.end() && code_.size() - found->second < kReach) return found->second;
    Label label = put(BPF_RET | BPF_K, 0, 0, action);
    returns_[action] = label;
    return label;
  }
  Label load(uint32_t offset) { return put(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset); }
  Label mask(uint32_t bits) { return put(BPF_ALU | BPF_AND | BPF_K, 0, 0, bits); }
  Label jump(uint16_t operation, uint32_t value, Label if_true, Label if_false) {
    // Reaching one target may move the other out of reach, by one instruction.
    if_true = within_reach(if_true);
    if_false = within_reach(if_false);
    return put(static_cast<uint16_t>(BPF_JMP | operation | BPF_K), distance(if_true), distance(if_false),
               value);
  }
  /// Makes `target` the next instruction to be executed after what is emitted next.
  void go_to(Label target) {
    if (target + 1 != code_.size())
      put(BPF_JMP | BPF_JA, 0, 0, static_cast<uint32_t>(code_.size() - target - 1));
  }
  Label last() const { return code_.size() - 1; }
  std::vector<sock_filter> finish() && {
    std::ranges::reverse(code_);
    return std::move(code_);
  }

 private:
  static constexpr size_t kReach = 250;

  Label put(uint16_t code, uint8_t if_true, uint8_t if_false, uint32_t value) {
    code_.push_back({code, if_true, if_false, value});
    return code_.size() - 1;
  }
  uint8_t distance(Label target) const { return static_cast<uint8_t>(code_.size() - target - 1); }
  Label within_reach(Label target) {
    if (code_.size() - target <= kReach) return target;
    return put(BPF_JMP | BPF_JA, 0, 0, static_cast<uint32_t>(code_.size() - target - 1));
  }

  std::vector<sock_filter> code_;
  std::map<uint32_t, Label> returns_;
};

constexpr uint16_t jump_of(Compare compare) {
  switch (compare) {
    case Compare::Equal:
      return BPF_JEQ;
    case Compare::Greater:
      return BPF_JGT;
    case Compare::GreaterOrEqual:
      return BPF_JGE;
  }
  return BPF_JEQ;
}

/// Jumps to `match` when the condition holds, else to `fail`.
Emitter::Label emit_condition(Emitter& emitter, const Condition& condition, Emitter::Label match,
                              Emitter::Label fail) {
  if (condition.negated) std::swap(match, fail);
  uint32_t offset = kOffsetArguments + condition.index * 8;
  auto low_mask = static_cast<uint32_t>(condition.mask),
       high_mask = static_cast<uint32_t>(condition.mask >> 32);
  auto low = static_cast<uint32_t>(condition.value), high = static_cast<uint32_t>(condition.value >> 32);
  Emitter::Label entry = emitter.jump(jump_of(condition.compare), low, match, fail);
  if (low_mask != ~0U) emitter.mask(low_mask);
  entry = emitter.load(offset);
  if (condition.narrow) return entry;
  // The upper half decides alone unless it is equal.
  emitter.jump(BPF_JEQ, high, entry, fail);
  if (condition.compare != Compare::Equal) emitter.jump(BPF_JGT, high, match, emitter.last());
  if (high_mask != ~0U) emitter.mask(high_mask);
  return emitter.load(offset + 4);
}

Emitter::Label emit_decision(Emitter& emitter, const Decision& decision) {
  Emitter::Label next = emitter.ret(decision.otherwise);
  for (auto rule = decision.rules.rbegin(); rule != decision.rules.rend(); ++rule) {
    Emitter::Label match = emitter.ret(rule->action);
    for (auto condition = rule->conditions.rbegin(); condition != rule->conditions.rend(); ++condition)
      match = emit_condition(emitter, *condition, match, next);
    next = match;
  }
  return next;
}

/// From `first` on (up to the next range) this decision holds.
struct Range {
  uint32_t first;
  const Decision* decision;
};

Emitter::Label emit_search(Emitter& emitter, const std::vector<Range>& ranges, size_t begin, size_t end) {
  if (end - begin == 1) return emit_decision(emitter, *ranges[begin].decision);
  size_t middle = begin + (end - begin) / 2;
  Emitter::Label right = emit_search(emitter, ranges, middle, end);
  Emitter::Label left = emit_search(emitter, ranges, begin, middle);
  return emitter.jump(BPF_JGE, ranges[middle].first, right, left);
}

class Compiler {
 public:
  Compiler(const spec::Seccomp& profile, Architecture host, Denials denials)
      : profile_(profile), host_(host), denials_(denials) {}

  Result<SeccompFilter> run() {
    CHECK(check_notify());
    TRY(default_.otherwise, action_value(profile_.default_action, profile_.default_errno_ret));
    uint16_t denial_error = 0;
    if (denials_ == Denials::Notify && (default_.otherwise & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO) {
      denial_error = static_cast<uint16_t>(default_.otherwise & SECCOMP_RET_DATA);
      default_.otherwise = SECCOMP_RET_USER_NOTIF;
    }
    CHECK(choose_targets());
    Emitter emitter;
    Emitter::Label foreign = emitter.ret(SECCOMP_RET_KILL_PROCESS);
    // Blocks by audit architecture; x86_64 and x32 share one.
    std::map<uint32_t, Emitter::Label> blocks;
    for (const SeccompTarget* target : targets_) {
      if (target->seccomp == SCMP_ARCH_X32) continue;
      TRY(Emitter::Label block, emit_block(emitter, *target, foreign));
      blocks[target->audit] = block;
    }
    Emitter::Label next = foreign;
    for (const auto& [audit, block] : blocks) next = emitter.jump(BPF_JEQ, audit, block, next);
    emitter.go_to(next);
    emitter.load(kOffsetArchitecture);
    auto code = std::move(emitter).finish();
    if (code.size() > BPF_MAXINSNS) return Error(Kind::InvalidArgument, "seccomp: the profile is too large");
    SeccompFilter filter;
    filter.program.assign(reinterpret_cast<const char*>(code.data()), code.size() * sizeof(sock_filter));
    TRY(filter.flags, flags());
    filter.listens = listens() || denial_error != 0;
    filter.denial_error = denial_error;
    if (filter.listens) filter.flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
    return filter;
  }

 private:
  Result<void> choose_targets() {
    auto wanted = [&](const SeccompTarget& target) {
      return std::ranges::find(profile_.architectures, target.name) != profile_.architectures.end();
    };
    for (const SeccompTarget& target : kSeccompTargets) {
      bool native = target.seccomp == SCMP_ARCH_X86_64 || target.seccomp == SCMP_ARCH_AARCH64;
      if (target.host == host_ && (native || wanted(target))) targets_.push_back(&target);
    }
    for (const auto& name : profile_.architectures)
      if (!name.starts_with("SCMP_ARCH_"))
        return failure(Kind::InvalidArgument, "seccomp: unknown architecture \"{}\"", name);
    return {};
  }

  const SeccompTarget* x32() const {
    for (const SeccompTarget* target : targets_)
      if (target->seccomp == SCMP_ARCH_X32) return target;
    return nullptr;
  }

  Result<Emitter::Label> emit_block(Emitter& emitter, const SeccompTarget& target, Emitter::Label foreign) {
    Emitter::Label x32_entry = foreign;
    if (target.seccomp == SCMP_ARCH_X86_64 && x32() != nullptr) {
      TRY(x32_entry, emit_table(emitter, *x32()));
    }
    TRY(Emitter::Label entry, emit_table(emitter, target));
    if (target.seccomp == SCMP_ARCH_X86_64) entry = emitter.jump(BPF_JGE, kX32Bit, x32_entry, entry);
    emitter.go_to(entry);
    return emitter.load(kOffsetNumber);
  }

  Result<Emitter::Label> emit_table(Emitter& emitter, const SeccompTarget& target) {
    std::vector<Mention> mentions;
    for (const auto& rule : profile_.syscalls) CHECK(gather(rule, target, mentions));
    auto calls = decide(std::move(mentions));
    // Equal decisions share one object, so that neighbours can be merged by address.
    std::set<Decision> distinct;
    std::vector<Range> ranges{{0, &default_}};
    uint32_t next = 0;
    auto extend = [&](uint32_t number, const Decision* decision) {
      if (ranges.back().decision == decision) return;
      if (ranges.back().first == number)
        ranges.back().decision = decision;
      else
        ranges.push_back({number, decision});
    };
    for (const auto& [number, decision] : calls) {
      if (number > next) extend(next, &default_);
      extend(number, decision == default_ ? &default_ : &*distinct.insert(decision).first);
      next = number + 1;
    }
    if (!calls.empty()) extend(next, is_permissive(default_.otherwise) ? &default_ : &unknown_);
    return emit_search(emitter, ranges, 0, ranges.size());
  }

  /// What one rule says of one call.
  struct Mention {
    uint32_t number = 0;
    uint32_t action = 0;
    std::vector<Rule> rules;  ///< none: the action without conditions
  };

  Result<void> gather(const spec::SeccompRule& source, const SeccompTarget& target,
                      std::vector<Mention>& mentions) {
    TRY(uint32_t action, action_value(source.action, source.errno_ret));
    for (const auto& name : source.names) {
      auto number = call_number(name, target);
      if (!number) continue;
      Mention mention{.number = *number, .action = action};
      if (!source.args.empty()) {
        TRY(mention.rules, make_rules(source, name, action));
      }
      mentions.push_back(std::move(mention));
    }
    return {};
  }

  /// By number; of each call what is said first without conditions, behind all that is said with some.
  std::vector<std::pair<uint32_t, Decision>> decide(std::vector<Mention> mentions) const {
    std::ranges::stable_sort(mentions, {}, &Mention::number);
    std::vector<std::pair<uint32_t, Decision>> calls;
    calls.reserve(mentions.size());
    for (auto& mention : mentions) {
      if (calls.empty() || calls.back().first != mention.number) calls.emplace_back(mention.number, default_);
      Decision& decision = calls.back().second;
      if (mention.rules.empty()) {
        if (decision.otherwise == default_.otherwise) decision.otherwise = mention.action;
      }
      for (auto& rule : mention.rules) decision.rules.push_back(std::move(rule));
    }
    return calls;
  }

  /// An agent that is named gets its listener, also of a filter that asks it nothing (as crun has it).
  bool listens() const {
    return !profile_.listener_path.empty() || std::ranges::any_of(profile_.syscalls, [](const auto& rule) {
      return rule.action == "SCMP_ACT_NOTIFY";
    });
  }

  /// The listener is handed over with sendmsg, before anybody could answer a notification.
  Result<void> check_notify() const {
    if (profile_.default_action == "SCMP_ACT_NOTIFY")
      return Error(Kind::InvalidArgument, "seccomp: SCMP_ACT_NOTIFY cannot be the default action");
    for (const auto& rule : profile_.syscalls) {
      if (rule.action != "SCMP_ACT_NOTIFY") continue;
      for (const auto& name : rule.names) {
        if (name == "write" || name == "sendmsg")
          return failure(Kind::InvalidArgument, "seccomp: SCMP_ACT_NOTIFY cannot be used for the {} syscall",
                         name);
      }
    }
    return {};
  }

  Result<uint32_t> flags() const {
    uint32_t bits = 0;
    for (const auto& name : profile_.flags) {
      if (name == "SECCOMP_FILTER_FLAG_LOG")
        bits |= SECCOMP_FILTER_FLAG_LOG;
      else if (name == "SECCOMP_FILTER_FLAG_SPEC_ALLOW")
        bits |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
      else if (name == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") {
        if (listens()) bits |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
      } else if (name != "SECCOMP_FILTER_FLAG_TSYNC")  // there is one thread
        return failure(Kind::Unsupported, "seccomp: flag \"{}\" is not supported", name);
    }
    // Speculative store bypass stays as the host has it, unless the profile speaks of flags itself.
    return profile_.flags.empty() ? uint32_t{SECCOMP_FILTER_FLAG_SPEC_ALLOW} : bits;
  }

  const spec::Seccomp& profile_;
  Architecture host_;
  Denials denials_;
  std::vector<const SeccompTarget*> targets_;
  Decision default_;
  Decision unknown_{{}, SECCOMP_RET_ERRNO | ENOSYS};
};

/// Everything of a profile that the filter depends on, as a key.
std::string key_of(const spec::Seccomp& profile, Architecture host, Denials denials) {
  std::string key = fmt::format("{} {} {} {};", static_cast<int>(host), static_cast<int>(denials),
                                profile.default_action, profile.default_errno_ret.value_or(EPERM));
  for (const auto& name : profile.architectures) key.append(name).append(" ");
  key += ';';
  for (const auto& name : profile.flags) key.append(name).append(" ");
  if (!profile.listener_path.empty()) key += "listens";
  for (const auto& rule : profile.syscalls) {
    key += ';';
    for (const auto& name : rule.names) key.append(name).append(" ");
    key.append(rule.action);
    if (rule.errno_ret) key.append(std::to_string(*rule.errno_ret));
    for (const auto& argument : rule.args)
      key += fmt::format(",{} {} {} {}", argument.index, argument.value, argument.value_two, argument.op);
  }
  return key;
}

struct Cache {
  std::mutex mutex;
  std::vector<std::pair<std::string, std::shared_ptr<const SeccompFilter>>> entries;
  static constexpr size_t kSize = 16;
};

}  // namespace

Result<std::shared_ptr<const SeccompFilter>> compile_seccomp(const spec::Seccomp& profile, Architecture host,
                                                             Denials denials) {
  static Cache cache;
  std::string key = key_of(profile, host, denials);
  std::lock_guard lock(cache.mutex);
  for (const auto& [known, filter] : cache.entries)
    if (known == key) return filter;
  TRY(auto filter, Compiler(profile, host, denials).run());
  auto shared = std::make_shared<const SeccompFilter>(std::move(filter));
  if (cache.entries.size() == Cache::kSize) cache.entries.erase(cache.entries.begin());
  cache.entries.emplace_back(std::move(key), shared);
  return shared;
}

}  // namespace berth::launch
