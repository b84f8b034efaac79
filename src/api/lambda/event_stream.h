// Frames of application/vnd.amazon.eventstream: prelude, headers, payload, two CRCs. Pure.
#pragma once

#include <string>
#include <string_view>

namespace berth::api::lambda {

/// One message of type "event".
std::string event_frame(std::string_view event_type, std::string_view content_type, std::string_view payload);

}  // namespace berth::api::lambda
