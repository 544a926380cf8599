# What every target of ours is built with.

add_library(assay_options INTERFACE)
target_include_directories(assay_options INTERFACE ${CMAKE_SOURCE_DIR})  # includes are spelled from the root
target_compile_options(assay_options INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers
  $<$<BOOL:${ASSAY_WERROR}>:-Werror>
  -fno-omit-frame-pointer)
target_compile_definitions(assay_options INTERFACE
  ASSAY_VERSION="${PROJECT_VERSION}" BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_SEPARATE_COMPILATION
  BOOST_BEAST_SEPARATE_COMPILATION)
target_link_options(assay_options INTERFACE -fuse-ld=lld-19)

if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_options(assay_options INTERFACE -fstack-protector-strong -fcf-protection)
  target_compile_definitions(assay_options INTERFACE _FORTIFY_SOURCE=2 _GLIBCXX_ASSERTIONS)
  target_link_options(assay_options INTERFACE -Wl,-z,relro,-z,now)
endif()

# Sanitizers instrument all but the jailed hosts: those run under a filter of nine system calls, too few for a
# sanitizer's own runtime. Their sources are instrumented where unit tests and fuzz targets compile them.
add_library(assay_sanitizers INTERFACE)
if(ASSAY_SANITIZE)
  target_compile_options(assay_sanitizers INTERFACE
    -O1 -g1 -fsanitize=${ASSAY_SANITIZE} -fno-sanitize-recover=all
    $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  target_link_options(assay_sanitizers INTERFACE -fsanitize=${ASSAY_SANITIZE})
endif()

# assay_library(NAME sources…): one folder of the design.
function(assay_library name)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC assay_options assay_sanitizers)
endfunction()

function(assay_executable name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE assay_options assay_sanitizers)
endfunction()
