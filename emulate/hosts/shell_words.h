// Words of a command as a POSIX shell takes them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace slipstream::emulate {

// "it's" becomes 'it'\''s'; what a shell would leave alone stays as it is.
std::string shell_quoted(std::string_view word);

// All words on one line, which a shell takes apart into the same words.
std::string shell_line(std::span<const std::string> words);

// The words of a line that has spaces, quotes and backslashes, and nothing else that a shell would act on. Throws
// std::runtime_error when a quote is not closed.
std::vector<std::string> shell_split(std::string_view line);

}  // namespace slipstream::emulate
