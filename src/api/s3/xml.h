// The little XML that S3's requests bring: elements by name in small documents that are made of nothing else.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::api::s3 {

/// What stands between <name> (with or without attributes) and </name>, raw, in order. Elements of one name
/// do not nest in S3's documents.
std::vector<std::string_view> blocks(std::string_view xml, std::string_view name);
/// The same, with entities resolved: for elements that hold text.
std::vector<std::string> elements(std::string_view xml, std::string_view name);
/// The text of the first such element; empty: there is none.
std::string first_element(std::string_view xml, std::string_view name);

}  // namespace berth::api::s3
