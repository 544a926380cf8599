# Writes OUT, a header with NAMESPACE::NAME, the text of the file IN.
file(READ ${IN} text)
file(WRITE ${OUT}.new "// Generated from ${IN}.
#pragma once

#include <string_view>

namespace ${NAMESPACE} {
inline constexpr std::string_view ${NAME} = R\"~~~(${text})~~~\";
}
")
file(COPY_FILE ${OUT}.new ${OUT} ONLY_IF_DIFFERENT)
file(REMOVE ${OUT}.new)
