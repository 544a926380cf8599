# assay_embed(FILE NAME): a header beside FILE's place in the build tree, with assay::sandbox::process::NAME, the text
# of FILE. Appends it to the variable `embedded`.
function(assay_embed file name)
  cmake_path(REPLACE_EXTENSION file LAST_ONLY hpp OUTPUT_VARIABLE header)
  set(in ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  set(out ${CMAKE_BINARY_DIR}/generated/sandbox/${header})
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DIN=${in} -DOUT=${out} -DNAME=${name} -P ${CMAKE_SOURCE_DIR}/cmake/WriteHeader.cmake
    DEPENDS ${in} ${CMAKE_SOURCE_DIR}/cmake/WriteHeader.cmake)
  set(embedded ${embedded} ${out} PARENT_SCOPE)
endfunction()
