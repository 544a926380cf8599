# assay_embed(FILE NAME [NAMESPACE]): a header beside FILE's place in the build tree, with NAME, the text of FILE, in
# assay::NAMESPACE (default: sandbox::process). Appends it to the variable `embedded`.
function(assay_embed file name)
  cmake_path(REPLACE_EXTENSION file LAST_ONLY hpp OUTPUT_VARIABLE header)
  set(in ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  set(namespace sandbox::process)
  if(ARGC GREATER 2)
    set(namespace ${ARGV2})
  endif()
  string(REGEX REPLACE "::.*" "" folder ${namespace})
  set(out ${CMAKE_BINARY_DIR}/generated/${folder}/${header})
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DIN=${in} -DOUT=${out} -DNAME=${name} -DNAMESPACE=${namespace}
      -P ${CMAKE_SOURCE_DIR}/cmake/WriteHeader.cmake
    DEPENDS ${in} ${CMAKE_SOURCE_DIR}/cmake/WriteHeader.cmake)
  set(embedded ${embedded} ${out} PARENT_SCOPE)
endfunction()
