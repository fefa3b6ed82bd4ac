"""simple-salesforce, as it is published, against the simulator.

The library only speaks to https://<domain>.salesforce.com for logins, so its requests session sends that one
address to the simulator. Everything else goes where the simulator's answers point.

Needs the environment variable SALESFORCE_SIMULATOR: the program to test.
"""

import csv
import datetime
import io
import json
import os
import subprocess
import tempfile
import unittest
import urllib.request

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import (
    Salesforce,
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceGeneralError,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
    format_soql,
)

CONTACTS = 4_500

# How long the library waits before it first asks for a bulk job.
AT_ONCE = {"wait": 0}
USER = "api@acme.example"
PASSWORD = "a&b<c>"
TOKEN = "SecurityToken"

SEED = {
    "orgs": [
        {
            "name": "Acme",
            "daily_limit": 100_000,
            "task_external_id_field": "Call_Key__c",
            "custom_fields": [{"object": "Contact", "name": "Ref__c", "external_id": True}],
            "users": [{"username": USER, "password": PASSWORD, "security_token": TOKEN, "view_setup": True}],
            "generate": {"contacts": CONTACTS},
            "records": [{"type": "Contact", "FirstName": "Ada", "LastName": "Lovelace", "Phone": "+44 20 7946 0001"}],
        }
    ]
}


class LoginHost(HTTPAdapter):
    """Carries what is meant for Salesforce's login host to the simulator."""

    def __init__(self, simulator):
        super().__init__()
        self.simulator = simulator

    def send(self, request, *arguments, **options):
        request.url = request.url.replace("https://login.salesforce.com", self.simulator)
        return super().send(request, *arguments, **options)


class WithSimulator(unittest.TestCase):
    """One simulator for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        seed, cls.ca = (os.path.join(folder.name, name) for name in ("seed.json", "ca.pem"))
        with open(seed, "w", encoding="utf-8") as file:
            json.dump(SEED, file)
        program = os.environ["SALESFORCE_SIMULATOR"]
        process = subprocess.Popen(
            [program, "--seed-file", seed, "--ca-out", cls.ca], stdout=subprocess.PIPE, text=True
        )
        cls.addClassCleanup(process.stdout.close)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.kill)
        cls.http = process.stdout.readline().strip().removeprefix("http=")
        cls.https = process.stdout.readline().strip().removeprefix("https=")
        cls.sf = cls.log_in()

    @classmethod
    def session(cls):
        session = requests.Session()
        # Neither a proxy nor other authorities of this machine.
        session.trust_env = False
        session.verify = cls.ca
        session.mount("https://login.salesforce.com/", LoginHost(cls.https))
        return session

    @classmethod
    def log_in(cls, **credentials):
        usual = {"username": USER, "password": PASSWORD, "security_token": TOKEN}
        return Salesforce(session=cls.session(), version="66.0", **{**usual, **credentials})

    @classmethod
    def control(cls, path, body=None):
        data = json.dumps(body or {}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{cls.http}/__sim/{path}", data, headers, method="POST")
        with urllib.request.urlopen(request) as response:
            return json.load(response)


class Logins(WithSimulator):
    def test_by_password_and_security_token(self):
        self.assertEqual(self.sf.query("SELECT Name FROM Organization")["records"][0]["Name"], "Acme")
        self.assertFalse(self.sf.is_sandbox())

    def test_by_session_id(self):
        token = self.control(f"users/{USER}/login")["access_token"]
        sf = Salesforce(session_id=token, instance_url=self.https, session=self.session(), version="66.0")
        self.assertEqual(sf.query("SELECT Id FROM Organization")["totalSize"], 1)

    def test_by_an_apps_key_and_secret(self):
        app = {"consumer_key": "sim-client-id", "consumer_secret": "sim-client-secret"}
        sf = self.log_in(password=PASSWORD + TOKEN, security_token=None, **app)
        self.assertEqual(sf.query("SELECT Id FROM Organization")["totalSize"], 1)
        with self.assertRaises(SalesforceAuthenticationFailed) as refused:
            self.log_in(password="wrong", security_token=None, **app)
        self.assertEqual((refused.exception.code, refused.exception.auth_message),
                         ("invalid_grant", "authentication failure"))

    def test_wrong_password_and_forgotten_token(self):
        for credentials, code in [
            ({"password": "wrong"}, "INVALID_LOGIN"),
            ({"username": "nobody@acme.example"}, "INVALID_LOGIN"),
            ({"security_token": ""}, "LOGIN_MUST_USE_SECURITY_TOKEN"),
        ]:
            with self.assertRaises(SalesforceAuthenticationFailed) as refused:
                self.log_in(**credentials)
            self.assertEqual(refused.exception.code, code)

    def test_an_expired_session(self):
        token = self.control(f"users/{USER}/login")["access_token"]
        sf = Salesforce(session_id=token, instance_url=self.https, session=self.session(), version="66.0")
        self.control("sessions/expire")
        with self.assertRaises(SalesforceExpiredSession) as expired:
            sf.query("SELECT Id FROM Organization")
        self.assertEqual(expired.exception.content[0]["errorCode"], "INVALID_SESSION_ID")

    def test_one_that_knows_its_password_logs_in_again(self):
        sf = self.log_in()
        self.control("sessions/expire")
        self.assertEqual(sf.query("SELECT Id FROM Organization")["totalSize"], 1)


class Reading(WithSimulator):
    def test_query_all_reads_all_pages(self):
        soql = "SELECT Id, Name FROM Contact"
        self.assertFalse(self.sf.query(soql)["done"])
        result = self.sf.query_all(soql)
        self.assertEqual((result["totalSize"], result["done"]), (CONTACTS + 1, True))
        ids = {record["Id"] for record in self.sf.query_all_iter(soql)}
        self.assertEqual(len(ids), CONTACTS + 1)

    def test_format_soql_escapes(self):
        name = "O'Hara \\ 100%"
        created = self.sf.Contact.create({"LastName": name})["id"]
        self.addCleanup(self.sf.Contact.delete, created)
        soql = format_soql("SELECT LastName FROM Contact WHERE LastName = {}", name)
        self.assertEqual(self.sf.query(soql)["records"][0]["LastName"], name)
        like = format_soql("SELECT COUNT() FROM Contact WHERE LastName LIKE '%{:like}'", "100%")
        self.assertEqual(self.sf.query(like)["totalSize"], 1)

    def test_deleted_rows_only_where_asked_for(self):
        created = self.sf.Contact.create({"LastName": "Gone"})["id"]
        self.sf.Contact.delete(created)
        soql = "SELECT Id, IsDeleted FROM Contact WHERE LastName = 'Gone'"
        self.assertEqual(self.sf.query(soql)["totalSize"], 0)
        self.assertTrue(self.sf.query(soql, include_deleted=True)["records"][0]["IsDeleted"])

    def test_search(self):
        sosl = "FIND {2079460001} IN PHONE FIELDS RETURNING Contact(Id, LastName)"
        found = self.sf.search(sosl)["searchRecords"]
        self.assertEqual([record["LastName"] for record in found], ["Lovelace"])
        quick = self.sf.quick_search("Lovelace")["searchRecords"]
        self.assertEqual([record["attributes"]["type"] for record in quick], ["Contact"])

    def test_describe(self):
        names = [entry["name"] for entry in self.sf.describe()["sobjects"]]
        self.assertIn("Task", names)
        fields = {field["name"]: field for field in self.sf.Task.describe()["fields"]}
        self.assertTrue(fields["Call_Key__c"]["externalId"] and fields["CallObject"]["createable"])
        self.assertEqual(self.sf.Contact.metadata()["objectDescribe"]["keyPrefix"], "003")

    def test_limits_and_usage(self):
        self.assertEqual(self.sf.limits()["DailyApiRequests"]["Max"], 100_000)
        self.assertEqual(self.sf.api_usage["api-usage"].total, 100_000)

    def test_what_changed_and_what_was_deleted(self):
        start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=5)
        end = start + datetime.timedelta(minutes=10)
        kept, gone = (self.sf.Lead.create({"LastName": name, "Company": "X"})["id"] for name in ("Kept", "Gone"))
        self.sf.Lead.delete(gone)
        self.assertEqual(self.sf.Lead.updated(start, end)["ids"], [kept])
        deleted = self.sf.Lead.deleted(start, end)["deletedRecords"]
        self.assertEqual([record["id"] for record in deleted], [gone])


class Writing(WithSimulator):
    def test_create_get_update_delete(self):
        created = self.sf.Contact.create({"LastName": "Hopper", "Phone": "1"})
        self.assertTrue(created["success"])
        self.assertEqual(self.sf.Contact.update(created["id"], {"Phone": "2"}), 204)
        self.assertEqual(self.sf.Contact.get(created["id"])["Phone"], "2")
        self.assertEqual(self.sf.Contact.delete(created["id"]), 204)
        with self.assertRaises(SalesforceResourceNotFound):
            self.sf.Contact.get(created["id"])

    def test_upsert_by_external_id(self):
        self.assertEqual(self.sf.Task.upsert("Call_Key__c/vcc:1:a%2Fb", {"Subject": "Call"}), 201)
        self.assertEqual(self.sf.Task.upsert("Call_Key__c/vcc:1:a%2Fb", {"Subject": "Call again"}), 200)
        self.assertEqual(self.sf.Task.get_by_custom_id("Call_Key__c", "vcc:1:a/b")["Subject"], "Call again")

    def test_upsert_that_several_records_match(self):
        for name in ("One", "Two"):
            self.sf.Contact.create({"LastName": name, "Ref__c": "same"})
        with self.assertRaises(SalesforceMoreThanOneRecord) as several:
            self.sf.Contact.upsert("Ref__c/same", {"LastName": "Three"})
        self.assertEqual(len(several.exception.content), 2)

    def test_collections_and_composite(self):
        records = [{"attributes": {"type": "Task"}, "Subject": subject} for subject in ("One", "Two", "x" * 256)]
        body = {"allOrNone": False, "records": records}
        results = self.sf.restful("composite/sobjects", method="POST", json=body)
        self.assertEqual([result["success"] for result in results], [True, True, False])
        self.assertEqual(results[2]["errors"][0]["statusCode"], "STRING_TOO_LONG")
        batch = {"batchRequests": [{"method": "GET", "url": f"v66.0/sobjects/Task/{results[0]['id']}"}]}
        answer = self.sf.restful("composite/batch", method="POST", json=batch)
        self.assertEqual(answer["results"][0]["result"]["Subject"], "One")


class Refusals(WithSimulator):
    def test_malformed_requests(self):
        for ask, code in [
            (lambda: self.sf.query("SELECT Nothing FROM Contact"), "INVALID_FIELD"),
            (lambda: self.sf.query("SELECT FROM"), "MALFORMED_QUERY"),
            (lambda: self.sf.search("FIND"), "MALFORMED_SEARCH"),
            (lambda: self.sf.Contact.create({"FirstName": "No last name"}), "REQUIRED_FIELD_MISSING"),
            (lambda: self.sf.Contact.create({"LastName": "x", "Nothing__c": 1}), "INVALID_FIELD"),
        ]:
            with self.assertRaises(SalesforceMalformedRequest) as refused:
                ask()
            self.assertEqual(refused.exception.content[0]["errorCode"], code)

    def test_refused_and_not_found(self):
        with self.assertRaises(SalesforceResourceNotFound):
            self.sf.Nothing__c.describe()
        self.control("orgs/Acme", {"daily_limit": 0})
        with self.assertRaises(SalesforceRefusedRequest) as refused:
            self.sf.query("SELECT Id FROM Contact")
        self.control("orgs/Acme", {"daily_limit": 100_000})
        self.assertEqual(refused.exception.content[0]["errorCode"], "REQUEST_LIMIT_EXCEEDED")

    def test_faults(self):
        fault = {"type": "status", "status": 503, "errorCode": "SERVER_UNAVAILABLE", "message": "Server Unavailable"}
        self.control("faults", {"times": 1, "action": fault})
        with self.assertRaises(SalesforceGeneralError) as failed:
            self.sf.query("SELECT Id FROM Contact")
        self.assertEqual(failed.exception.status, 503)

    def test_the_first_bulk_api_is_not_enabled(self):
        with self.assertRaises(SalesforceMalformedRequest) as refused:
            self.sf.bulk.Contact.insert([{"LastName": "x"}])
        self.assertEqual(refused.exception.content["exceptionCode"], "FeatureNotEnabled")


class Bulk2(WithSimulator):
    def rows(self, text):
        return list(csv.DictReader(io.StringIO(text)))

    def test_insert_update_and_delete(self):
        contacts = self.sf.bulk2.Contact
        records = [{"LastName": "One", "Phone": "1"}, {"LastName": 'Two, "2"', "Phone": ""}]
        (job,) = contacts.insert(records=records, **AT_ONCE)
        self.assertEqual((job["numberRecordsProcessed"], job["numberRecordsFailed"]), (2, 0))
        saved = self.rows(contacts.get_successful_records(job["job_id"]))
        self.assertEqual([row["LastName"] for row in saved], ["One", 'Two, "2"'])
        self.assertEqual(self.sf.Contact.get(saved[1]["sf__Id"])["LastName"], 'Two, "2"')

        contacts.update(records=[{"Id": saved[0]["sf__Id"], "Phone": "#N/A"}], **AT_ONCE)
        self.assertIsNone(self.sf.Contact.get(saved[0]["sf__Id"])["Phone"])
        contacts.delete(records=[{"Id": row["sf__Id"]} for row in saved], **AT_ONCE)
        self.assertEqual(self.sf.query("SELECT Id FROM Contact WHERE LastName = 'One'")["totalSize"], 0)

    def test_rows_fail_each_for_itself(self):
        tasks = self.sf.bulk2.Task
        records = [{"Call_Key__c": key, "Subject": "Call"} for key in ("a", "a", "b")]
        (job,) = tasks.insert(records=records, **AT_ONCE)
        self.assertEqual((job["numberRecordsProcessed"], job["numberRecordsFailed"]), (3, 1))
        (failed,) = self.rows(tasks.get_failed_records(job["job_id"]))
        self.assertIn("DUPLICATE_VALUE:duplicate value found: Call_Key__c", failed["sf__Error"])
        (job,) = tasks.upsert(records=[{"Call_Key__c": key, "Subject": "Again"} for key in ("a", "c")],
                              external_id_field="Call_Key__c", **AT_ONCE)
        created = [row["sf__Created"] for row in self.rows(tasks.get_successful_records(job["job_id"]))]
        self.assertEqual(created, ["false", "true"])

    def test_query_in_pages(self):
        pages = list(self.sf.bulk2.Contact.query("SELECT Id, Name FROM Contact", max_records=2_000, **AT_ONCE))
        self.assertEqual(sum(len(self.rows(page)) for page in pages), CONTACTS + 1)
        self.assertEqual(len(pages), 3)

    def test_jobs_that_cannot_be(self):
        for ask, code in [
            (lambda: self.sf.bulk2.Nothing__c.insert(records=[{"Name": "x"}]), "INVALIDJOB"),
            (lambda: self.sf.bulk2.Task.upsert(records=[{"Subject": "x"}], external_id_field="Subject"), "INVALIDJOB"),
            (lambda: list(self.sf.bulk2.Task.query("SELECT Nothing FROM Task")), "INVALID_FIELD"),
        ]:
            with self.assertRaises(SalesforceMalformedRequest) as refused:
                ask()
            self.assertEqual(refused.exception.content[0]["errorCode"], code)


if __name__ == "__main__":
    unittest.main()
