# Writes OUT, a header with NAME, the text of the file IN. Compilers limit the length of one literal.
file(READ ${IN} text)
string(REPLACE "\n\n" "\n)~~~\"\nR\"~~~(\n" text "${text}")
file(WRITE ${OUT}.new "// Generated from ${IN}.
#pragma once

#include <string_view>

namespace assay::${NAMESPACE} {
inline constexpr std::string_view ${NAME} = R\"~~~(${text})~~~\";
}
")
file(COPY_FILE ${OUT}.new ${OUT} ONLY_IF_DIFFERENT)
file(REMOVE ${OUT}.new)
