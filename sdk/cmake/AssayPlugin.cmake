# assay_add_plugin(NAME sources…): the plugin NAME.so, which exports its entry and nothing else.
function(assay_add_plugin name)
  set(exports ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin.map)
  add_library(${name} MODULE ${ARGN})
  set_target_properties(${name} PROPERTIES PREFIX "" CXX_VISIBILITY_PRESET hidden C_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON LINK_DEPENDS ${exports})
  target_link_options(${name} PRIVATE -Wl,--version-script=${exports} -Wl,-z,defs)
  if(TARGET Assay::sdk)
    target_link_libraries(${name} PRIVATE Assay::sdk)
  else()
    target_link_libraries(${name} PRIVATE assay_sdk)
  endif()
endfunction()
