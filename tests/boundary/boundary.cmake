# Each suite twice: as an ordinary user, and as root when root runs the tests.
file(GLOB suites CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/boundary/test_*.py)
if(TARGET dirbox)
  set(environment DIRBOX=$<TARGET_FILE:dirbox> PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/support PYTHONDONTWRITEBYTECODE=1)
  foreach(suite ${suites})
    string(REGEX REPLACE ".*/test_(.*)\\.py$" "\\1" name ${suite})
    add_test(NAME boundary.${name} COMMAND ${CMAKE_SOURCE_DIR}/tests/support/as_user /usr/bin/python3 ${suite})
    add_test(NAME boundary.${name}.root COMMAND ${CMAKE_SOURCE_DIR}/tests/support/as_root /usr/bin/python3 ${suite})
    set_tests_properties(boundary.${name} boundary.${name}.root PROPERTIES
                         ENVIRONMENT "${environment}" SKIP_RETURN_CODE 77 TIMEOUT 900)
  endforeach()
  # Both look at what is left in /tmp and among the System V objects.
  set_tests_properties(boundary.verify boundary.verify.root PROPERTIES RESOURCE_LOCK verify)
endif()
# The network: through `dirbox run`, and the engine by itself behind netbox.
file(GLOB suites CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/boundary/net_*.py)
foreach(suite ${suites})
  string(REGEX REPLACE ".*/net_(.*)\\.py$" "net.\\1" name ${suite})
  add_test(NAME ${name} COMMAND ${CMAKE_SOURCE_DIR}/tests/support/as_user /usr/bin/python3 ${suite})
  add_test(NAME ${name}.root COMMAND ${CMAKE_SOURCE_DIR}/tests/support/as_root /usr/bin/python3 ${suite})
  set_tests_properties(${name} ${name}.root PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 900 ENVIRONMENT
                       "DIRBOX=$<TARGET_FILE:dirbox>;DIRBOX_PROBE=$<TARGET_FILE:probe>;NETBOX=$<TARGET_FILE:netbox>;PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/support;PYTHONDONTWRITEBYTECODE=1")
endforeach()
if(TARGET dirbox)
  add_test(NAME lint.documented COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/lint/documented.py)
  set_tests_properties(lint.documented PROPERTIES ENVIRONMENT DIRBOX=$<TARGET_FILE:dirbox>)
endif()
