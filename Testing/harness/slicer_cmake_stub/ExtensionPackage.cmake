# What the packaging step needs to exist.
if(NOT EXTENSION_NAME STREQUAL PROJECT_NAME)
  message(FATAL_ERROR "the extension ${EXTENSION_NAME} is not the project ${PROJECT_NAME}")
endif()
foreach(file "${EXTENSION_LICENSE_FILE}" "${EXTENSION_README_FILE}")
  if(NOT EXISTS "${file}")
    message(FATAL_ERROR "the package lacks '${file}'")
  endif()
endforeach()
