// Events of an execution's history, made of what has just happened. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json_fwd.h"
#include "functions/durable/records.h"

namespace berth::functions::durable {

/// Seconds since the epoch with milliseconds, as the JSON of the API has times.
double seconds_of(int64_t ms);

/// The operation's start: StepStarted, WaitStarted ... `update` made it. `version` and `child` are those of a
/// chained invoke's function and execution, empty where there are none.
HistoryEvent started_event(const Operation& operation, const OperationUpdate& update, int64_t now_ms,
                           std::string_view version = {}, std::string_view child = {});
/// Its end as `status` says; with a delay, of an attempt of a step that is made again.
HistoryEvent ended_event(const Operation& operation, OperationStatus status, int64_t now_ms,
                         std::optional<uint32_t> next_delay_seconds = {});

HistoryEvent execution_started_event(const Execution& execution, std::string_view input);
HistoryEvent execution_ended_event(const Execution& execution, const std::optional<std::string>& result);
HistoryEvent invocation_event(std::string_view request_id, int64_t started_ms, int64_t ended_ms,
                              const std::string& error);
HistoryEvent paused_event(const Execution& execution, int64_t now_ms);
HistoryEvent resumed_event(const Execution& execution, std::string_view reason, int64_t now_ms);

/// Size of what is kept of it.
uint64_t size_of(const HistoryEvent& event);

}  // namespace berth::functions::durable
