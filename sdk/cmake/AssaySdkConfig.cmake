# find_package(AssaySdk): the headers as Assay::sdk, and assay_add_plugin().
include(${CMAKE_CURRENT_LIST_DIR}/AssaySdkTargets.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/AssayPlugin.cmake)
