foreach(check includes doors sizes format toplevel words casts sleeps man threats)
  add_test(NAME lint.${check} COMMAND /usr/bin/python3 ${CMAKE_SOURCE_DIR}/tests/lint/lint.py ${check})
  set_tests_properties(lint.${check} PROPERTIES SKIP_RETURN_CODE 77)
endforeach()
