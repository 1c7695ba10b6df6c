# The extension's description, which Slicer's Extensions Manager shows; written down for the test.
foreach(field HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${field}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${field} is not set")
  endif()
  file(APPEND "${CMAKE_BINARY_DIR}/description.txt" "${field} ${EXTENSION_${field}}\n")
endforeach()
