# The Debian package in fresh systems. Slow: it makes a release build and, once, the systems (debootstrap).
foreach(release debian-12 debian-13)
  add_test(NAME packages.${release} COMMAND ${CMAKE_SOURCE_DIR}/tests/packages/run ${release})
  set_tests_properties(packages.${release} PROPERTIES LABELS slow SKIP_RETURN_CODE 77 TIMEOUT 3600 RESOURCE_LOCK packages
                       ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endforeach()
