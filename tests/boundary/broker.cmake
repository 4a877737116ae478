# The broker by itself, without the launcher: in the namespaces of the test, and in ones of its own.
foreach(mode plain userns)
  add_test(NAME broker.${mode} COMMAND ${CMAKE_SOURCE_DIR}/tests/support/as_user /usr/bin/python3
           ${CMAKE_SOURCE_DIR}/tests/boundary/broker/run.py $<TARGET_FILE:broker_host> ${mode})
  add_test(NAME broker.${mode}.root COMMAND ${CMAKE_SOURCE_DIR}/tests/support/as_root /usr/bin/python3
           ${CMAKE_SOURCE_DIR}/tests/boundary/broker/run.py $<TARGET_FILE:broker_host> ${mode})
  set_tests_properties(broker.${mode} broker.${mode}.root PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300
                       ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;DIRBOX_PROBE=$<TARGET_FILE:probe>")
endforeach()
