# Stands in for a build of Slicer in find_package(Slicer): enough to configure, build and install a
# scripted module as an extension. Written after the behaviour of CMake/UseSlicer.cmake.in,
# CMake/SlicerMacroBuildScriptedModule.cmake, CMake/SlicerMacroPythonTesting.cmake and
# CMake/SlicerExtensionCPack.cmake of Slicer/Slicer and CMake/ctkMacroCompilePythonScript.cmake of
# commontk/CTK. What it can't tell: packaging, upload, and whether Slicer loads what was installed.
set(Slicer_FOUND TRUE)
set(Slicer_USE_PYTHONQT TRUE)
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/ExtensionConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/ExtensionPackage.cmake")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-5.10/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "./${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
