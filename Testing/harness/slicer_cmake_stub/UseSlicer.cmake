# What include(${Slicer_USE_FILE}) defines for an extension of one scripted module.
if(NOT DEFINED EXTENSION_NAME)
  set(EXTENSION_NAME "${PROJECT_NAME}")
endif()

# Copies a module's scripts and resources, named relative to the calling folder, into the build folder's
# place for scripted modules, and installs the whole of that place.
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MODULE "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MODULE_UNPARSED_ARGUMENTS OR NOT MODULE_NAME OR NOT MODULE_SCRIPTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: unknown or missing words in '${ARGN}'")
  endif()
  set(module_place "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
  set(module_copies)
  foreach(module_file IN LISTS MODULE_SCRIPTS MODULE_RESOURCES)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${module_file}")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule: there is no ${module_file}")
    endif()
    add_custom_command(
      OUTPUT "${module_place}/${module_file}"
      DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${module_file}"
      COMMAND ${CMAKE_COMMAND} -E copy
        "${CMAKE_CURRENT_SOURCE_DIR}/${module_file}" "${module_place}/${module_file}")
    list(APPEND module_copies "${module_place}/${module_file}")
  endforeach()
  add_custom_target(Copy${MODULE_NAME} ALL DEPENDS ${module_copies})
  install(DIRECTORY "${module_place}/" DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}"
    COMPONENT RuntimeLibraries USE_SOURCE_PERMISSIONS)
endmacro()

# Slicer would run the script; here it only has to be there, and its name is written down.
macro(slicer_add_python_unittest)
  cmake_parse_arguments(UNITTEST "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS" ${ARGN})
  get_filename_component(unittest_script "${UNITTEST_SCRIPT}" ABSOLUTE)
  if(NOT EXISTS "${unittest_script}")
    message(FATAL_ERROR "slicer_add_python_unittest: there is no ${unittest_script}")
  endif()
  file(APPEND "${CMAKE_BINARY_DIR}/unittests.txt" "${unittest_script}\n")
endmacro()
