// Text within XML.
#pragma once

#include <string>
#include <string_view>

namespace berth {

/// For content and attributes; control characters, which XML cannot hold, are left out.
std::string xml_escape(std::string_view text);

}  // namespace berth
